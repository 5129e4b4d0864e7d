"""What is printed at a sweep's end."""

import os
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tuning.records.pareto import alike, objectives_of
from tuning.records.result import SweepResult
from tuning.reports import ablation, pareto
from tuning.reports.confirmed import scored
from tuning.reports.console import console as standard
from tuning.reports.escapes import terminal
from tuning.reports.files import REPORT
from tuning.reports.forecast import compared
from tuning.reports.sentences import (
    caveats,
    foretold,
    headline,
    next_steps,
    next_steps_of_several,
    reference,
    shown,
)
from tuning.reports.spending import cost
from tuning.reports.wording import count, short, trial_name, value_of
from tuning.study.trials import TrialRecord


def print_summary(
    result: SweepResult,
    console: Console | None = None,
    *,
    interrupted: bool = False,
    running: bool = False,
    trials_page: str = "",
) -> None:
    """Print what the sweep found, what stopping saved, where the files are, what to type next.

    Of one that is still `running`, or was `interrupted`, as far as it is. `trials_page` is the
    address of its trials on an MLflow server, if there is one.
    """
    console = console or standard()

    def say(words: str = "", style: str = "") -> None:
        console.print(terminal(words, style), soft_wrap=True)

    say()
    if interrupted or running:
        ended, planned = len(result.ended), result.sweep.trials
        of = "" if planned is None else f"{ended} of "
        many = of + count(ended if planned is None else planned, "trial")
        say(f"Still running: {many} ended." if running else f"Interrupted after {many}.", "bold")
    if result.best is None:
        say(f"No trial of {result.sweep.name} completed, so there is no best configuration yet.")
        for trial in result.of("failed")[:3]:
            say(f"  trial {trial.number} failed: {trial.reason or 'no reason was recorded'}")
    else:
        say(headline(result), "bold")
        if not result.sweep.settings.rows:
            console.print(_comparison(result))
        for sentence in caveats(result):
            say(sentence)
    _print_ablation(result, console)
    if result.trials:
        say(cost(result))
        for sentence in foretold(result):
            say(sentence)
    _print_pareto([result], console)
    if not (interrupted or running):
        for sentence in compared(result):
            say(sentence)
    say()
    where = shown(result.sweep.folder)
    say(f"Everything is in {where}{os.sep}")
    if (result.sweep.folder / REPORT).exists():
        say(f"The report is {where / REPORT}")
    if trials_page:
        say(f"The trials are at {trials_page}")
    for command in [] if running else next_steps(result, interrupted=interrupted):
        say(f"  {command}")


def _comparison(result: SweepResult) -> Table:
    """The searched values of the best trial beside the paper's."""
    table = _table()
    table.add_column("")
    compared: list[tuple[str, TrialRecord]] = []
    if result.default:
        compared.append((reference(result), result.default))
    if result.best and result.best is not result.default:
        how = "confirmed" if result.findings else "best"
        compared.append((f"{how} ({trial_name(result.best)})", result.best))
    for heading, _ in compared:
        table.add_column(heading, justify="right")
    for name in result.sweep.searched:
        table.add_row(*map(terminal, [short(name), *(value_of(t, name) for _, t in compared)]))
    scores = [scored(result, trial) for _, trial in compared]
    table.add_row("val accuracy", *scores, style="bold")
    return table


def print_cells(
    results: Sequence[SweepResult], console: Console | None = None, *, interrupted: bool = False
) -> None:
    """Print one row for each of several sweeps, and what to type next."""
    console = console or standard()
    table = _table()
    for heading in ("method", "backbone", "data set"):
        table.add_column(heading)
    for heading in ("paper's default", "best", "gain"):
        table.add_column(heading, justify="right")
    for result in results:
        sweep = result.sweep
        table.add_row(
            sweep.method,
            sweep.backbone,
            terminal(sweep.dataset),
            scored(result, result.default),
            scored(result, result.best),
            "–" if result.gain is None else f"{result.gain:+.2f}",
        )
    console.print("", table, sep="\n")
    for result in results:
        _print_ablation(result, console)
    for group in alike(results):
        _print_pareto(group, console)
    for command in next_steps_of_several(results, interrupted=interrupted):
        console.print(terminal(f"  {command}"), soft_wrap=True)


def _print_ablation(result: SweepResult, console: Console) -> None:
    """Print the rows of an ablation; nothing of another sweep."""
    if result.trials and result.sweep.settings.rows:
        console.print()
        console.print(terminal(result.sweep.cell, "dim"), soft_wrap=True)
        console.print(ablation.table(result))
        console.print(terminal(ablation.note(result)), soft_wrap=True)


def _print_pareto(results: Sequence[SweepResult], console: Console) -> None:
    """Print the Pareto set of sweeps of several objectives; nothing of others."""
    if len(objectives_of(results)) < 2 or not (sentences := pareto.said(results)):
        return
    first, *others = sentences
    console.print()
    console.print(terminal(first), soft_wrap=True)
    # A terminal has no room for their configurations, which the report holds.
    headings, rows = pareto.table(results, searched=False)
    table = _table()
    for heading in headings:
        table.add_column(terminal(heading), justify="left" if heading == "sweep" else "right")
    for row in rows:
        table.add_row(*map(terminal, row))
    console.print(table)
    for sentence in others:
        console.print(terminal(sentence), soft_wrap=True)


def _table() -> Table:
    return Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
