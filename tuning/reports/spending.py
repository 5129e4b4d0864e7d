"""What a sweep took, in sentences: epochs, hours and money, its teachers and its confirmation."""

from collections.abc import Sequence

from tuning.records.result import SweepResult
from tuning.records.settings import SweepSettings
from tuning.records.taught import BEGINNING, Taught, taught
from tuning.reports.wording import count, dollars, duration
from tuning.study.budget import gpu_hours, seconds
from tuning.study.trials import TrialRecord


def cost(result: SweepResult) -> str:
    """Epochs, hours and money spent, epochs that stopping saved, and what confirming took."""
    saved = result.epochs_saved
    spent, line = result.epochs_spent, spent_on(result.sweep.settings, result.trials)
    if saved:
        stopped = count(len(result.of("stopped")), "trial")
        share = 100 * saved / (spent + saved)
        line += f"; stopping {stopped} early saved {count(saved, 'epoch')} ({share:.0f} %)"
    both = f" {cost_of_all(result)}" if any(trial.trained for trial in result.again) else ""
    return f"{line}.{_of_teachers(result)}{_bound(result)}{both}"


def _of_teachers(result: SweepResult) -> str:
    """What its teachers took, whichever sweep trained them; "" where there are none."""
    known = taught(result.sweep.folder)
    if not (trained := sum(one.epochs for one in known)):
        return ""
    epochs = count(trained, "epoch")
    own = result.sweep.name
    names = dict.fromkeys("this sweep" if one.sweep == own else one.sweep for one in known)
    by = f", by {' and '.join(names)}" if [*names] != ["this sweep"] else ""
    begun = Taught.beside(result.sweep.folder / BEGINNING) is not None
    whose = "Its teacher" if len(known) - begun == 1 else "Its teachers"
    whose += " and what all its trials begin with" if begun else ""
    return f" {whose} took {epochs} more ({duration(sum(one.seconds for one in known))}{by})."


def spent_on(settings: SweepSettings, trials: Sequence[TrialRecord]) -> str:
    """`90 epochs trained in 29 s`, and their GPU-hours and cost where there are some."""
    epochs = sum(trial.trained for trial in trials)
    line = f"{count(epochs, 'epoch')} trained in {duration(seconds(trials))}"
    if held := gpu_hours(trials):
        line += f", {held:.3g} GPU-hours"
    if settings.price_per_hour is not None:
        line += f", {dollars(settings.budget.usd(trials))}"
    return line


def cost_of_all(result: SweepResult) -> str:
    """What the search and the trainings that confirmed it took, together."""
    confirming = count(sum(trial.trained for trial in result.again), "epoch")
    both = spent_on(result.sweep.settings, [*result.trials, *result.again])
    return f"Search and confirmation: {both}; {confirming} of it to confirm."


def _bound(result: SweepResult) -> str:
    """That the search ended as its budget was spent, where it did."""
    over, cut = result.sweep.settings.budget.spent(result.trials), len(result.of("running"))
    planned, asked = result.sweep.trials, result.sweep.settings
    if not over or (not cut and planned is not None and len(result.trials) >= planned):
        return ""
    short = f", which cut {count(cut, 'trial')} short" if cut else ""
    kept = ", the others being for confirming" if asked.confirm else ""
    return f" It ended as its {over} were spent{kept}{short}; give more to --resume it."
