"""A stopping rule as a Ray Tune scheduler."""

from collections.abc import Iterable
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tuning.study.stopping import StoppingRule, score
from tuning.study.trials import REFERENCE, TrialRecord


class EarlyStopping(FIFOScheduler):
    """Starts trials in order and stops those that `rule` gives up, and those that diverged.

    Reports carry "trial" (its number), "epoch" (1-based) and "val_acc" (percent). An epoch that
    is reported again, after a restart, changes nothing: its decision has been made. Trial 0,
    the paper's default, always runs to its end: it is what the winner is compared with.
    """

    def __init__(self, rule: StoppingRule | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rule = rule
        self._curves: dict[int, dict[int, float]] = {}

    def replay(self, records: Iterable[TrialRecord]) -> None:
        """Know the trials of a sweep that is resumed, finished or not."""
        self._curves.update({record.number: dict(record.curve) for record in records})

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP or CONTINUE, after one report."""
        if result.get("diverged"):
            return str(TrialScheduler.STOP)
        if "epoch" not in result or "failed" in result:
            return str(TrialScheduler.CONTINUE)
        number, epoch = result["trial"], result["epoch"]
        curve = self._curves.setdefault(number, {})
        if epoch in curve:
            return str(TrialScheduler.CONTINUE)
        curve[epoch] = score(result)
        if self._rule is None or number == REFERENCE:
            return str(TrialScheduler.CONTINUE)
        stops = self._rule.should_stop(number, epoch, self._curves)
        return str(TrialScheduler.STOP if stops else TrialScheduler.CONTINUE)
