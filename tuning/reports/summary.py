"""What a sweep found, in sentences: the summary at its end, and what the report says too."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tuning.records.result import SweepResult, duration, short, text, value_at
from tuning.records.settings import BEST_CONFIG, SHOWN_STORAGE
from tuning.study.trials import TrialRecord

REPORT = "report.html"
DEFAULT_STORAGE = Path("runs")


def print_summary(
    result: SweepResult,
    console: Console | None = None,
    *,
    interrupted: bool = False,
    trials_page: str = "",
) -> None:
    """Print what the sweep found, what stopping saved, where the files are, what to type next.

    `trials_page` is the address of its trials on an MLflow server, if there is one.
    """
    console = console or Console(highlight=False)

    def say(words: str = "", style: str = "") -> None:
        console.print(words, style=style or None, soft_wrap=True, markup=False)

    say()
    if result.best is None:
        say(f"No trial of {result.sweep.name} completed, so there is no best configuration yet.")
        for trial in result.of("failed")[:3]:
            say(f"  trial {trial.number} failed: {trial.reason or 'no reason was recorded'}")
    else:
        say(headline(result), "bold")
        console.print(comparison(result))
        for sentence in caveats(result):
            say(sentence)
    if result.trials:
        say(cost(result))
    say()
    where = _shown(result.sweep.folder)
    say(f"Everything is in {where}{os.sep}")
    if (result.sweep.folder / REPORT).exists():
        say(f"The report is {where / REPORT}")
    if trials_page:
        say(f"The trials are at {trials_page}")
    for command in next_steps(result, interrupted=interrupted):
        say(f"  {command}")


def print_cells(
    results: Sequence[SweepResult], console: Console | None = None, *, interrupted: bool = False
) -> None:
    """Print one row for each of several sweeps, and what to type next."""
    console = console or Console(highlight=False)
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for heading in ("method", "backbone", "data set", "paper's default", "best", "gain"):
        table.add_column(heading, justify="left" if heading in _WORDS else "right")
    for result in results:
        sweep, best, default = result.sweep, result.best, result.default
        finished = default is not None and default.state == "completed"
        table.add_row(
            sweep.method,
            sweep.backbone,
            sweep.dataset,
            f"{default.score:.2f} %" if default and finished else "–",
            f"{best.score:.2f} %" if best else "–",
            f"{result.gain:+.2f}" if result.gain is not None else "–",
        )
    console.print("", table, sep="\n")
    names = [result.sweep.name for result in results]
    kept = _storage_flag(results[0])
    commands = [f"python -m tuning.report {' '.join(names)}{kept}"]
    if interrupted:
        commands.insert(0, f"python -m tuning.search --resume {' --resume '.join(names)}{kept}")
    if not _read_elsewhere():
        commands.append(f"python -m tuning.best{kept}")
    for command in commands:
        console.print(f"  {command}", soft_wrap=True, markup=False)


_WORDS = ("method", "backbone", "data set")


# -- sentences that the terminal and the HTML report share ------------------------------------


def headline(result: SweepResult) -> str:
    """The best trial against the paper's default, in one sentence; "" if none completed."""
    best, default = result.best, result.default
    if best is None:
        return ""
    if best is default:
        return f"No trial beat the paper's default: {best.score:.2f} % val accuracy."
    found = f"Best of {_count(len(result.trials), 'trial')}: {best.score:.2f} % val accuracy"
    if result.gain is None:
        return f"{found}; the paper's default {_unfinished(default)}, so there is no comparison."
    return f"{found}, {result.gain:+.2f} points on the paper's default."


def caveats(result: SweepResult) -> list[str]:
    """How far the comparison can be trusted."""
    best = result.best
    if best is None or best is result.default or result.gain is None or best.score is None:
        return []
    error = result.standard_error(best.score)
    sentences = []
    if error is not None:
        size = f"Val holds {result.sweep.val_size} images: one standard error of an accuracy is "
        verdict = (
            "the gain is within it, so it may be chance."
            if result.gain <= error
            else f"the gain is {result.gain / error:.1f} times that."
        )
        sentences.append(f"{size}{error:.2f} points; {verdict}")
    sentences.append("The best was chosen on this same val set, which flatters it a little.")
    return sentences


def cost(result: SweepResult) -> str:
    """Epochs spent, and epochs that stopping saved."""
    spent, saved = result.epochs_spent, result.epochs_saved
    line = f"{_count(spent, 'epoch')} trained in {duration(result.seconds)}"
    if not saved:
        return f"{line}."
    stopped = _count(len(result.of("stopped")), "trial")
    share = 100 * saved / (spent + saved)
    return f"{line}; stopping {stopped} early saved {_count(saved, 'epoch')} ({share:.0f} %)."


def next_steps(result: SweepResult, *, interrupted: bool = False) -> list[str]:
    """Commands to type next."""
    sweep, kept = result.sweep, _storage_flag(result)
    steps = [f"python -m tuning.search --resume {sweep.name}{kept}"] if interrupted else []
    if result.best is not None:
        steps += [
            f"python -m kd.train {_shown(sweep.folder) / BEST_CONFIG}",
            f"python -m tuning.export --sweep {sweep.name}{kept}",
        ]
        if not interrupted and result.best is not result.default:
            steps.append(f"python -m tuning.confirm {sweep.name}{kept}")
    if _read_elsewhere():
        return steps
    if result.best is not None:
        steps.append(f"python -m tuning.best{kept}")
    return [*steps, f"python -m tuning.ui {sweep.name}{kept}"]


def comparison(result: SweepResult) -> Table:
    """The searched values of the best trial beside the paper's."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("")
    shown: list[tuple[str, TrialRecord]] = []
    if result.default:
        shown.append(("paper's default", result.default))
    if result.best and result.best is not result.default:
        shown.append((f"best (trial {result.best.number})", result.best))
    for heading, _ in shown:
        table.add_column(heading, justify="right")
    for name in result.sweep.searched:
        values = [text(value_at(trial.config, name)) for _, trial in shown]
        table.add_row(short(name), *values)
    scores = [f"{t.score:.2f} %" if t.state == "completed" else t.state for _, t in shown]
    table.add_row(Text("val accuracy"), *scores, style="bold")
    return table


def _unfinished(trial: TrialRecord | None) -> str:
    if trial is None:
        return "was not run"
    how = {"stopped": "was stopped", "failed": "failed"}.get(trial.state, "was interrupted")
    return f"{how} at epoch {trial.epoch}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _read_elsewhere() -> bool:
    """Whether this is a cluster's, where the registry and the MLflow server stay."""
    return SHOWN_STORAGE in os.environ


def _shown(folder: Path) -> Path:
    """The sweep's folder as it is shortest to type for whoever reads this."""
    if _read_elsewhere():
        return Path(os.environ[SHOWN_STORAGE]) / folder.name
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _storage_flag(result: SweepResult) -> str:
    storage = _shown(result.sweep.folder).parent
    return "" if storage == DEFAULT_STORAGE else f" --storage {storage}"
