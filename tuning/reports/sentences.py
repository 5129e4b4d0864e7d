"""What a sweep found and what to type next, in sentences that the terminal and the page share."""

import os
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from kd.config import SAW_VAL
from kd.files import relative
from tuning.records.result import Sweep, SweepResult
from tuning.records.settings import BEST_CONFIG, SHOWN_STORAGE, SweepSettings
from tuning.reports.wording import count, duration, percent
from tuning.study.trials import TrialRecord

DEFAULT_STORAGE = Path("runs")


def headline(result: SweepResult) -> str:
    """The best trial against the paper's default, in one sentence; "" if none completed."""
    best, default = result.best, result.default
    if best is None:
        return ""
    if best is default:
        return f"No trial beat the paper's default: {percent(best.score)} val accuracy."
    found = f"Best of {count(len(result.trials), 'trial')}: {percent(best.score)} val accuracy"
    if result.gain is None:
        return f"{found}; the paper's default {_unfinished(default)}, so there is no comparison."
    return f"{found}, {result.gain:+.2f} points on the paper's default."


def _unfinished(trial: TrialRecord | None) -> str:
    if trial is None:
        return "was not run"
    how = {"stopped": "was stopped", "failed": "failed"}.get(trial.state, "was interrupted")
    return f"{how} at epoch {trial.epoch}"


def caveats(result: SweepResult) -> list[str]:
    """How far the comparison can be trusted."""
    best, sentences = result.best, seen_val(result.sweep.settings)
    if best is None or best is result.default or result.gain is None or best.score is None:
        return sentences
    error = result.standard_error(best.score)
    size = f"Val holds {count(result.sweep.val_size, 'image')}"
    if error is not None:
        verdict = (
            "the gain is within it, so it may be chance."
            if result.gain <= error
            else f"the gain is {result.gain / error:.1f} times that."
        )
        one = f"one standard error of an accuracy is {error:.2f} points"
        sentences.append(f"{size}: {one}; {verdict}")
    elif result.sweep.val_size:
        sentences.append(f"{size}: at {percent(best.score)} no standard error can be told.")
    sentences.append("The best was chosen on this same val set, which flatters it a little.")
    return sentences


def seen_val(settings: SweepSettings) -> list[str]:
    """That val is known to a teacher, where that was allowed."""
    return [SAW_VAL] if settings.base.saw_val else []


def cost(result: SweepResult) -> str:
    """Epochs spent, and epochs that stopping saved."""
    spent, saved = result.epochs_spent, result.epochs_saved
    line = f"{count(spent, 'epoch')} trained in {duration(result.seconds)}"
    if not saved:
        return f"{line}."
    stopped = count(len(result.of("stopped")), "trial")
    share = 100 * saved / (spent + saved)
    return f"{line}; stopping {stopped} early saved {count(saved, 'epoch')} ({share:.0f} %)."


# -- what to type next ------------------------------------------------------------------------


def resume(sweeps: Sequence[SweepSettings]) -> str:
    """The command that goes on with sweeps of one storage."""
    names = " --resume ".join(settings.name for settings in sweeps)
    return f"python -m tuning.search --resume {names}{_storage_flag(sweeps[0])}"


def report_again(sweep: Sweep) -> str:
    """The command that writes a sweep's report from its folder."""
    return f"python -m tuning.report {sweep.name}{_storage_flag(sweep.settings)}"


def next_steps(result: SweepResult, *, interrupted: bool = False) -> list[str]:
    """Commands to type next."""
    sweep, kept = result.sweep, _storage_flag(result.sweep.settings)
    steps = [resume([sweep.settings])] if interrupted else []
    if result.best is not None:
        steps += [
            f"python -m kd.train {quote(str(shown(sweep.folder) / BEST_CONFIG))}",
            f"python -m tuning.export --sweep {sweep.name}{kept}",
        ]
        if not interrupted and result.best is not result.default:
            steps.append(f"python -m tuning.confirm {sweep.name}{kept}")
    if _read_elsewhere():
        return steps
    if result.best is not None:
        steps.append(f"python -m tuning.best{kept}")
    return [*steps, f"python -m tuning.ui {sweep.name}{kept}"]


def next_steps_of_several(
    results: Sequence[SweepResult], *, interrupted: bool = False
) -> list[str]:
    """Commands to type next after sweeps that ran side by side, in one storage."""
    sweeps = [result.sweep.settings for result in results]
    kept = _storage_flag(sweeps[0])
    steps = [resume(sweeps)] if interrupted else []
    steps.append(f"python -m tuning.report {' '.join(one.name for one in sweeps)}{kept}")
    return steps if _read_elsewhere() else [*steps, f"python -m tuning.best{kept}"]


def shown(folder: Path) -> Path:
    """A sweep's folder as it is shortest to type for whoever reads this."""
    if _read_elsewhere():
        return Path(os.environ[SHOWN_STORAGE]) / folder.name
    return relative(folder)


def _read_elsewhere() -> bool:
    """Whether this is a cluster's, where the registry and the MLflow server stay."""
    return SHOWN_STORAGE in os.environ


def _storage_flag(settings: SweepSettings) -> str:
    storage = shown(settings.folder).parent
    return "" if storage == DEFAULT_STORAGE else f" --storage {quote(str(storage))}"
