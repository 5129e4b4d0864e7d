"""`python -m tuning.replay [TABLE …]`: a search repeated over curves, without training."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import tyro

from kd.cli import repeated, run, shown
from kd.config import EPOCHS, SEEDS
from kd.errors import UserError, brief
from kd.files import check_folder, replace_file
from tuning.records.options import Several
from tuning.replaying.generated import KINDS
from tuning.reports.escapes import terminal
from tuning.reports.wording import count
from tuning.storage.tables import to_parquet
from tuning.study.grid import ordered
from tuning.study.objectives import chosen
from tuning.study.rules import FACTOR
from tuning.study.sampling import GRID, SAMPLERS, TPE
from tuning.study.stopping import SchedulerName

if TYPE_CHECKING:
    from tuning.replaying.curves import Curves
    from tuning.replaying.repeats import Drawn, Kept, Repeat
    from tuning.replaying.strategy import Plan

LIMITS = {
    "repeats": (1, 1_000_000),
    "jobs": (1, 1024),
    "epochs": (1, EPOCHS),
    "regret": (0, 100),
}
"""From where to where the numbers go that a person may give, beside those of a search."""
FEW = 32
"""Recorded curves below which no search is told from another."""
TRIALS = 64
"""Trials of a search for which nothing else says where it ends."""


def _one_of(names: Any) -> Any:
    return tyro.conf.arg(metavar="|".join(names))


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Repeat a search over the curves of finished sweeps, or over generated ones, in seconds."""

    tables: Annotated[tuple[Path, ...], tyro.conf.Positional, shown("[SWEEP …]")] = ()
    """Sweeps of one cell: folders, or a trials.parquet or curves.parquet in them."""
    kind: Annotated[str | None, shown("|".join(KINDS))] = None
    """Which curves are generated where no table is given; the default is distillation."""
    epochs: Annotated[int | None, shown("N")] = None
    """Epochs of a whole trial, if curves are generated; the default is 27."""
    objective: Annotated[Several, repeated("NAME")] = ()
    """Look for the best in this too: train_seconds, or ece where the tables have it."""
    sampler: Annotated[str, _one_of(SAMPLERS)] = TPE
    """What draws configurations."""
    scheduler: Annotated[str, _one_of(get_args(SchedulerName))] = "asha"
    """What stops poor trials early."""
    reduction_factor: float = FACTOR
    """One trial in so many goes on at a rung, and rungs are so many times apart."""
    check_rungs: float = 0.0
    """Let this share of the trials that would be stopped run on, as a sweep does to check that."""
    trials: Annotated[int | None, shown("N")] = None
    """Trials of a search; the default is 64, or as many as --epochs-total has room for."""
    epochs_total: Annotated[int | None, shown("N")] = None
    """Epochs of a search, over all its trials."""
    slots: int = 1
    """How many trials run at once."""
    repeats: int = 20
    """How often it is repeated, each time with the next seed."""
    seed: int = 0
    """The first of the seeds, which draw landscapes, configurations and trainings."""
    regret: float = 1.0
    """Tell the epochs until so few points are lacking of the best."""
    jobs: Annotated[int | None, shown("N")] = None
    """Processes that share the repeats; the default is one for each core."""
    output: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")
    ] = None
    """A Parquet file to write, with a row for each repeat."""


def replay(flags: Flags) -> int:
    """Simulate what the flags ask for, and print what comes of it."""
    _check(flags)
    from tuning.replaying.repeats import repeats
    from tuning.replaying.strategy import Plan

    sources = _sources(flags)
    unsaid = flags.trials is None and flags.epochs_total is None
    plan = Plan(
        sampler=flags.sampler,
        scheduler=flags.scheduler,
        reduction_factor=flags.reduction_factor,
        check_rungs=flags.check_rungs,
        trials=TRIALS if unsaid else flags.trials,
        epochs_total=flags.epochs_total,
        slots=flags.slots,
        objectives=flags.objective,
        seeds=sources.seeds,
    )
    plan.check_offered(sources.name, sources.offers)
    plan.grace(sources.epochs)
    if plan.sampler == GRID:
        _check_grid(sources.source(flags.seed))
    seeds = range(flags.seed, flags.seed + flags.repeats)
    jobs = flags.jobs or os.cpu_count() or 1
    began, found = time.monotonic(), []
    print_title(sources, plan, seeds)
    with _progress(len(seeds)) as advance:
        for repeat in repeats(sources, plan, seeds, jobs):
            found.append(repeat)
            advance(repeat)
    print_table(found, flags.regret, time.monotonic() - began)
    if flags.output:
        _write(flags.output, sources, plan, found, flags.regret)
        print(flags.output)
    return 0


def _check(flags: Flags) -> None:
    for name, (low, high) in LIMITS.items():
        value = getattr(flags, name)
        if value is not None and not low <= value <= high:
            raise UserError(f"--{name} is {brief(value)}; it must be from {low} to {high}.")
    if not 0 <= flags.seed <= SEEDS - flags.repeats:
        raise UserError(
            f"--seed is {brief(flags.seed)}; it must be from 0 to {SEEDS - flags.repeats}."
        )
    if flags.tables and flags.kind is not None:
        raise UserError("--kind is for generated curves; leave it away, or the tables.")
    if flags.tables and flags.epochs is not None:
        raise UserError("--epochs is for generated curves; leave it away, or the tables.")
    if flags.output is not None:
        check_folder(flags.output)
        if flags.output.is_dir():
            raise UserError(f"{flags.output} cannot be written: it is a folder; give another -o.")


def _sources(flags: Flags) -> "Drawn | Kept":
    from tuning.replaying.recorded import Recorded
    from tuning.replaying.repeats import Drawn, Kept

    if flags.tables:
        return Kept(Recorded(flags.tables))
    paced = "train_seconds" in flags.objective
    return Drawn(flags.kind or next(iter(KINDS)), flags.epochs or 27, paced)


def _check_grid(source: "Curves") -> None:
    try:
        ordered(source.space, source.base, 0)
    except UserError:
        raise UserError(
            f"--sampler grid searches choices and steps, and {source.name} has ranges without "
            "steps; give the folder of a sweep over a grid, or another sampler."
        ) from None


def _write(
    path: Path, sources: "Drawn | Kept", plan: "Plan", found: "Sequence[Repeat]", regret: float
) -> None:
    from tuning.replaying.summary import table

    asked = {
        "curves": sources.name,
        "sampler": plan.sampler,
        "scheduler": plan.scheduler,
        "reduction_factor": plan.reduction_factor,
        "check_rungs": plan.check_rungs,
        "slots": plan.slots,
        "trials_asked": plan.trials,
        "epochs_asked": plan.epochs_total,
        "epochs_of_a_trial": sources.epochs,
        "regret_asked": regret,
    }
    if plan.objectives:
        asked["objectives"] = ", ".join(one.name for one in chosen(plan.objectives))
    replace_file(path, to_parquet([asked | row for row in table(found, regret)]))


# -- printed -----------------------------------------------------------------------------------


def print_title(sources: "Drawn | Kept", plan: "Plan", seeds: range) -> None:
    """Print what is simulated."""
    from rich.console import Console

    much = [count(plan.trials, "trial")] if plan.trials else []
    much += [count(plan.epochs_total, "epoch")] if plan.epochs_total else []
    ends = " or ".join(much)
    of = "" if sources.size is None else f" ({count(sources.size, 'curve')})"
    over = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    asked = (
        f"{sources.name}{of}: {plan.sampler} and {plan.scheduler}, {ends}, trials of at most "
        f"{count(sources.epochs, 'epoch')}, {plan.slots} at once; {over}"
    )
    if plan.seeds > 1:
        asked += f"; an epoch of a trial is {plan.seeds}, one on each of its seeds"
    if len(several := chosen(plan.objectives)) > 1:
        asked += f"; compared in {', '.join(one.words for one in several)}"
    console = Console(highlight=False, soft_wrap=True)
    console.print(terminal(asked))
    if sources.size is not None and sources.size < FEW:
        console.print(
            "So few curves prove nothing, whatever the intervals say: any search soon draws the "
            f"best of them. Record {FEW} or more: python -m tuning.search METHOD --trials {FEW} "
            "--sampler random --scheduler none"
        )


def print_table(found: "Sequence[Repeat]", regret: float, seconds: float) -> None:
    """Print the regret at shares of the search, and what it took to come to `regret`."""
    from rich.console import Console
    from rich.table import Table

    from tuning.replaying.summary import mean_of, reached, rows

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    headings = ("spent", "epochs", "seconds", "handed out, %", "regret", "median", "worst")
    several = found[0].course.start.volume is not None
    for heading in (*headings, "volume") if several else headings:
        table.add_column(heading, justify="right")
    for row in rows(found):
        table.add_row(
            f"{100 * row.share:.0f} %",
            f"{row.epochs:.0f}",
            f"{row.seconds:.0f}",
            str(row.truth),
            str(row.regret),
            f"{row.middle:.2f}",
            f"{row.worst:.2f}",
            *([str(row.volume)] if several else []),
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    came, epochs = reached(found, regret)
    until = "" if epochs is None else f", the median after {epochs:.0f} epochs"
    console.print(f"regret of {regret:g} or less: {came} of {len(found)} repeats{until}")
    begun = mean_of([repeat.trials for repeat in found]).mean
    completed = mean_of([repeat.completed for repeat in found]).mean
    console.print(f"{begun:.1f} trials, {completed:.1f} completed; simulated in {seconds:.1f} s")


@contextmanager
def _progress(count: int) -> "Iterator[Callable[[Repeat], None]]":
    """A bar on a terminal; elsewhere a line for each twentieth of the repeats."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console, every, done = Console(highlight=False), max(1, count // 20), 0
    if not console.is_terminal:

        def line(repeat: "Repeat") -> None:
            nonlocal done
            done += 1
            if done % every == 0:
                last = repeat.course.last
                print(f"repeat {done}/{count}: regret {last.regret:.2f}", flush=True)

        yield line
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as shown_bar:
        bar = shown_bar.add_task("", total=count)
        yield lambda repeat: shown_bar.advance(bar)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, replay, argv)


if __name__ == "__main__":
    main()
