"""When a trial is stopped before its last epoch: ASHA, the median rule, or never.

The rules read curves and nothing else, so that a sweep that was interrupted goes on with the
same rungs, and any engine may ask them.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal, Protocol

import numpy as np

from kd.errors import UserError, unknown
from tuning.study.trials import REFERENCE, TrialRecord

SchedulerName = Literal["asha", "median", "none"]
Curves = Mapping[int, Mapping[int, float]]
"""From a trial's number to its curve: val accuracy in percent by 1-based epoch."""


DIVERGED = 0.0
"""What a training that diverged scores: the worst."""


def score(result: Mapping[str, Any]) -> float:
    """The val accuracy that a report is judged by; `DIVERGED` once training did.

    NaN would be neither stopped by a rung nor accepted by Optuna.
    """
    value = float(result.get("val_acc", math.nan))
    return value if math.isfinite(value) and not result.get("diverged") else DIVERGED


def rungs(epochs: int, grace_period: int, reduction_factor: float) -> list[int]:
    """The 1-based epochs after which ASHA may stop a trial: grace·rf^k, below `epochs`.

    Raises `UserError` for a grace period outside 1 … epochs or a reduction factor of 1 or less.
    """
    if not 1 <= grace_period <= epochs:
        raise UserError(
            f"The grace period is {grace_period}; it must lie between 1 and the {epochs} epochs."
        )
    if not 1 < reduction_factor < math.inf:
        raise UserError(
            f"The reduction factor is {reduction_factor:g}; it must be above 1, for example 3."
        )
    found: set[int] = set()
    rung = float(grace_period)
    while rung <= epochs - 1:
        found.add(math.ceil(rung))
        # By factors near 1 the same epoch would be met for ever.
        rung = max(rung * reduction_factor, math.nextafter(math.ceil(rung), math.inf))
    return sorted(found)


@dataclass(frozen=True)
class Judged:
    """The 1-based epochs after which a trial may be stopped: the `rungs`, and all from `since`."""

    rungs: tuple[int, ...] = ()
    since: float = math.inf

    def __contains__(self, epoch: int) -> bool:
        return epoch in self.rungs or epoch >= self.since


class StoppingRule(Protocol):
    """Decides from the curves of a sweep whether a trial is stopped."""

    @property
    def judged(self) -> Judged:
        """When it may stop a trial."""

    def should_stop(self, number: int, epoch: int, curves: Curves) -> bool:
        """Whether trial `number` stops after `epoch`, which its curve already holds."""


@dataclass(frozen=True)
class Asha:
    """Asynchronous successive halving (Li et al., arXiv:1810.05934), in one bracket.

    A trial passes a rung if it is among the best 1/rf of those that reached the rung before it;
    the first one always passes. Ray's own scheduler decides alike but keys its rungs by ids
    that a restart changes.
    """

    rungs: tuple[int, ...]
    reduction_factor: float

    @property
    def judged(self) -> Judged:
        """At the rungs alone."""
        return Judged(self.rungs)

    def should_stop(self, number: int, epoch: int, curves: Curves) -> bool:
        """Whether `number` is outside the best 1/rf at this rung."""
        if epoch not in self.judged:
            return False
        others = [curve[epoch] for n, curve in curves.items() if n != number and epoch in curve]
        if not others:
            return False
        cutoff = np.percentile(others, 100 * (1 - 1 / self.reduction_factor))
        return bool(curves[number][epoch] < cutoff)


@dataclass(frozen=True)
class MedianRule:
    """The median stopping rule of Vizier (Golovin et al., KDD 2017).

    A trial stops if its best value so far is below the median of the running averages of the
    others, where at least three others came as far.
    """

    grace_period: int

    @property
    def judged(self) -> Judged:
        """Whenever the grace period has passed."""
        return Judged(since=self.grace_period)

    def should_stop(self, number: int, epoch: int, curves: Curves) -> bool:
        """Whether the best of `number` is below the median average of the others."""
        if epoch not in self.judged:
            return False
        averages = [
            fmean(value for e, value in curve.items() if e <= epoch)
            for n, curve in curves.items()
            if n != number and epoch in curve
        ]
        return len(averages) >= 3 and max(curves[number].values()) < median(averages)


class EarlyStopping:
    """Stops the trials that `rule` gives up, and those that diverged.

    Reports carry "trial" (its number), "epoch" (1-based) and "val_acc" (percent). An epoch that
    is reported again, after a restart, changes nothing: its decision has been made. The paper's
    default always runs to its end: it is what the winner is compared with.
    """

    def __init__(self, rule: StoppingRule | None) -> None:
        self._rule = rule
        self._curves: dict[int, dict[int, float]] = {}

    @property
    def judged(self) -> Judged:
        """When a trial may be stopped that does not diverge."""
        return self._rule.judged if self._rule else Judged()

    def replay(self, records: Iterable[TrialRecord]) -> None:
        """Know the trials of a sweep that is resumed, finished or not."""
        self._curves.update({record.number: dict(record.curve) for record in records})

    def stops(self, report: Mapping[str, Any]) -> bool:
        """Whether the trial ends with this report."""
        if report.get("diverged"):
            return True
        if "epoch" not in report or "failed" in report:
            return False
        number, epoch = report["trial"], report["epoch"]
        curve = self._curves.setdefault(number, {})
        if epoch in curve:
            return False
        curve[epoch] = score(report)
        if self._rule is None or number == REFERENCE:
            return False
        return self._rule.should_stop(number, epoch, self._curves)


def make_stopping(
    name: SchedulerName, epochs: int, grace_period: int = 1, reduction_factor: float = 3
) -> EarlyStopping:
    """The rule of that name for trials of `epochs` epochs.

    Raises `UserError` for another name or for values that `rungs` refuses.
    """
    allowed = tuple(rungs(epochs, grace_period, reduction_factor))
    rules: dict[str, StoppingRule | None] = {
        "asha": Asha(allowed, reduction_factor),
        "median": MedianRule(grace_period),
        "none": None,
    }
    if name not in rules:
        raise unknown("scheduler", name, rules)
    return EarlyStopping(rules[name])
