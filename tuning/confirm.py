"""`python -m tuning.confirm SWEEP`: the winner and the paper's default again, on paired seeds.

A search looks at val many times, so its winner's val accuracy flatters it. Here the best
trials and the default are trained anew, each on the same new seeds; the best of them by mean
val accuracy is the winner; and only then the test set is opened, once, for the winner and the
default. Asked again, the command prints what it found.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import tyro

from kd.cli import run, shown
from kd.config import TrainConfig
from kd.errors import UserError
from tuning.records.findings import FILE, Findings, mean_deviation
from tuning.records.result import SweepResult
from tuning.records.settings import GpusPerTrial, SweepSettings

if TYPE_CHECKING:
    from kd.data import Images
    from tuning.storage.shelf import Shelf

STUDY = "confirm.log"


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Train a sweep's best configurations and the paper's default again, and open the test set."""

    sweep: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SWEEP")]
    """The sweep's name."""
    top: int = 1
    """How many of the best trials compete."""
    seeds: int = 5
    """How many seeds each is trained on, the same for all."""
    storage: Path = Path("runs")
    """Where sweeps are kept."""
    cpus_per_trial: Annotated[int | None, shown("CORES")] = None
    """CPU cores of one training; the default is the sweep's."""
    gpus_per_trial: Annotated[GpusPerTrial, shown("GPUS|auto")] = None
    """GPUs of one training; the default is the sweep's."""


def confirm(flags: Flags) -> int:
    """Run the command line."""
    from tuning.report import load_result, write_page

    for name in ("top", "seeds"):
        if getattr(flags, name) < 1:
            raise UserError(f"--{name} is {getattr(flags, name)}; it must be at least 1.")
    result = load_result(flags.storage, flags.sweep)
    folder = result.sweep.folder
    if known := Findings.load(folder):
        print("The test set was opened before; this is what was found then.")
        print_findings(known)
        return 0
    settings = SweepSettings.load(flags.storage, flags.sweep)
    for name in ("cpus_per_trial", "gpus_per_trial"):
        if (given := getattr(flags, name)) is not None:
            settings = replace(settings, **{name: given})
    findings = _train_and_test(settings, candidates(result, flags.top), flags.seeds)
    if findings is None:
        print("Stopped; the same command goes on from there. The test set is still sealed.")
        return 130
    findings.save(folder)
    write_page(result)
    _record(settings, findings)
    print_findings(findings)
    return 0


def candidates(result: SweepResult, top: int) -> dict[int, TrainConfig]:
    """The default and the `top` best other completed trials, by number.

    Raises:
        UserError: no trial but the default completed.
    """
    done = [t for t in result.of("completed") if t is not result.default]
    best = sorted(done, key=lambda t: (-(t.score or 0.0), t.number))[:top]
    if result.default is None or not best:
        raise UserError(
            f"{result.sweep.name} has no completed trial beside the paper's default; search on, "
            f"with --resume {result.sweep.name} or more trials."
        )
    return {t.number: TrainConfig.from_dict(t.config) for t in (result.default, *best)}


def _train_and_test(
    settings: SweepSettings, chosen: Mapping[int, TrainConfig], seeds: int
) -> Findings | None:
    """What came of it; None if it was interrupted before the test set was opened."""
    from kd.data import open_dataset
    from kd.data.split import train_val
    from search_spaces import Choice
    from tuning.engine.lanes import Lane
    from tuning.engine.packing import share_of
    from tuning.engine.run import run_trials
    from tuning.engine.runtime import connected
    from tuning.engine.trial import TrialFiles, Work
    from tuning.records.result import Sweep
    from tuning.reports.live_table import LiveTables
    from tuning.study.journal import open_study
    from tuning.study.searcher import ListSearcher
    from tuning.study.stopping import make_scheduler
    from tuning.study.trials import Observer
    from tuning.sweeps.cell import read_teacher

    dataset = open_dataset(settings.base.dataset, settings.data_root)
    train, val = train_val(dataset.train, settings.base.split)
    files = TrialFiles(shelf=settings.shelf, study="confirm")
    # New seeds: the search has seen what its own does to these configurations.
    plan = [
        (number, replace(config, seed=settings.base.seed + seed))
        for seed in range(1, seeds + 1)
        for number, config in chosen.items()
    ]
    path = settings.folder / STUDY
    observers: list[Observer] = []
    with ExitStack() as opened:
        study = opened.enter_context(open_study(path, "confirm", create=not path.exists()))
        searcher = ListSearcher(study, [config for _, config in plan], observers=observers)
        live = LiveTables()
        about = Sweep.of(
            replace(settings, trials=len(plan), scheduler="none"),
            {"seed": Choice(tuple(config.seed for _, config in plan))},
        )
        observers.append(live.add(about, searcher.records.values()))
        work = Work(train, val, files, read_teacher(settings.folder, chosen[0]))
        lane = Lane(searcher, make_scheduler("none", settings.base.epochs), work)
        nodes = opened.enter_context(connected())
        part = share_of(settings, nodes, [(config, work) for config in chosen.values()])
        try:
            with live:
                run_trials([lane], part, settings.folder)
        except KeyboardInterrupt:
            return None
    records = [searcher.records[n] for n in range(len(plan))]
    for (number, _), record in zip(plan, records, strict=True):
        if record.state != "completed":
            raise UserError(
                f"Trial {number} did not complete again on every seed ({record.reason}), so "
                f"nothing is confirmed; delete {path.name} to try again."
            )
    val_acc = {
        number: [r.score or 0.0 for (n, _), r in zip(plan, records, strict=True) if n == number]
        for number in chosen
    }
    winner = max((n for n in chosen if n != 0), key=lambda n: (fmean(val_acc[n]), -n))
    students = {
        number: [files.student(i) for i, (n, _) in enumerate(plan) if n == number]
        for number in (0, winner)
    }
    scores = _open_test(dataset.load_test(), train, files.shelf, students)
    for index in range(len(plan)):
        files.discard(index)
    return Findings(
        sweep=settings.name,
        winner=winner,
        seeds=tuple(settings.base.seed + seed for seed in range(1, seeds + 1)),
        config=chosen[winner].to_dict(),
        val_acc=val_acc,
        test=scores,
    )


def _open_test(
    test: "Images", train: "Images", shelf: "Shelf", students: Mapping[int, Sequence[str]]
) -> dict[int, list[dict[str, float]]]:
    from kd.data.device_loader import statistics
    from kd.training.checkpoint import load_weights
    from kd.training.evaluate import test_scores
    from kd.training.trainer import Place

    device, normalise = Place.local().device, statistics(train)

    def scores(name: str) -> dict[str, float]:
        with shelf.fetched(name) as path:
            return test_scores(load_weights(path)[0], test, normalise, device)

    return {number: [scores(name) for name in names] for number, names in students.items()}


# -- what was found ---------------------------------------------------------------------------


def print_findings(findings: Findings) -> None:
    """Print val and test accuracy of the default and the winner, n, deviation, and p."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for heading in ("", "val accuracy", "test accuracy"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in findings.rows():
        table.add_row(*row)
    console = Console(highlight=False)
    console.print(table)
    console.print(findings.sentence())


def _record(settings: SweepSettings, findings: Findings) -> None:
    from tuning.records.protocol import cell_name
    from tuning.tracking.registry import mark_confirmed
    from tuning.tracking.seeds import log_seeds
    from tuning.tracking.store import Store

    store = Store.at(settings.storage, settings.tracking_uri)
    base, winner = settings.base, findings.winner
    cell = cell_name(base.method, base.backbone, base.dataset)
    test = mean_deviation(findings.test_acc(winner))
    try:
        mark_confirmed(store, cell, settings.name, winner, f"test {test}")
        log_seeds(
            store,
            cell,
            settings.name,
            (
                (number, seed, {"val_acc": val, **found})
                for number, scores in findings.test.items()
                for seed, val, found in zip(
                    findings.seeds, findings.val_acc[number], scores, strict=True
                )
            ),
        )
    except UserError as error:
        print(f"The result is in {FILE}, but not in MLflow: {error}")


if __name__ == "__main__":
    run(Flags, confirm)
