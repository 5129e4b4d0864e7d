"""The table of an ablation: every row's val accuracy beside that of the paper's default."""

from rich.table import Table

from tuning.records.result import SweepResult
from tuning.reports.escapes import terminal
from tuning.reports.sentences import confirm_again
from tuning.study.trials import TrialRecord

HEADINGS = ("", "trial", "val accuracy", "against the default")


def rows(result: SweepResult) -> list[tuple[str, str, str, str]]:
    """(label, trial, val accuracy with deviation and n, points above the default) of each row.

    None of a sweep that is no ablation.
    """
    labels = [label.strip() for label in result.sweep.settings.rows]
    if not labels:
        return []
    trials = {trial.number: trial for trial in result.trials}
    default = trials.get(0)
    found = [("the paper's default", "0", _scored(default), "")]
    for number, label in enumerate(labels, 1):
        trial = trials.get(number)
        level, score = _score(default), _score(trial)
        apart = "" if level is None or score is None else f"{score - level:+.2f}"
        found.append((label, str(number), _scored(trial), apart))
    return found


def note(result: SweepResult) -> str:
    """What stands below the table."""
    seeds = result.sweep.settings.seeds_per_trial
    over = (
        f"Mean ± standard deviation over the same {seeds} seeds" if seeds > 1 else "One seed each"
    )
    again = confirm_again(result.sweep.settings)
    return f"{over}. Whether a row differs by more than chance: {again} --trial N."


def table(result: SweepResult) -> Table:
    """The rows for a terminal."""
    found = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for heading in HEADINGS:
        found.add_column(heading, justify="right" if heading else "left", no_wrap=bool(heading))
    for row in rows(result):
        found.add_row(*map(terminal, row))
    return found


def _score(trial: TrialRecord | None) -> float | None:
    return trial.score if trial is not None and trial.state == "completed" else None


def _scored(trial: TrialRecord | None) -> str:
    """`86.10 ± 0.42 % (n = 3)`; of a trial that did not complete, how it ended."""
    if trial is None:
        return "not begun"
    if (score := _score(trial)) is None:
        return "unfinished" if trial.state == "running" else trial.outcome
    deviation = trial.metrics.get("val_acc_sd")
    around = "" if deviation is None else f" ± {deviation:.2f}"
    return f"{score:.2f}{around} % (n = {trial.seeds})"
