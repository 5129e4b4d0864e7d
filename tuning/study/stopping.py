"""When a trial is stopped before its last epoch, by a rule of `rules` or by none."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kd.errors import unknown
from tuning.study.objectives import Objectives, losses, searched, told_of
from tuning.study.pareto import best_first
from tuning.study.rules import Asha, Hyperband, Judged, MedianRule, StoppingRule, TopK, rungs
from tuning.study.trials import REFERENCE, TrialRecord

SchedulerName = Literal["asha", "hyperband", "median", "top-k", "none"]

DIVERGED = 0.0
"""What a training that diverged scores: the worst."""


def score(result: Mapping[str, Any]) -> float:
    """The val accuracy that a report is judged by; `DIVERGED` once training did.

    NaN would be neither stopped by a rung nor accepted by Optuna.
    """
    value = float(result.get("val_acc", math.nan))
    return value if math.isfinite(value) and not result.get("diverged") else DIVERGED


@dataclass(frozen=True)
class Check:
    """Which trials run on to their end though the rule would stop them: a `share`, by chance.

    Which ones is a function of the sweep's `seed` and the trial's number.
    """

    share: float = 0.0
    seed: int = 0

    def spares(self, number: int) -> bool:
        """Whether trial `number` would run on."""
        chance = np.random.default_rng((self.seed, number, CHECKED)).random()
        return bool(chance < self.share)


CHECKED = 0xC4EC
"""Makes these draws others than those of a sampler."""


class EarlyStopping:
    """Stops the trials that `rule` gives up, and those that diverged.

    Reports carry "trial" (its number), "epoch" (1-based) and "val_acc" (percent). An epoch that
    is reported again, after a restart, changes nothing: its decision has been made. The paper's
    default always runs to its end: it is what the winner is compared with. So does a trial that
    `check` spares: `spare` is told its number and the epoch, and the rule knows nothing of its
    later epochs, so that the others are stopped as without it. So do the `exempt` trials after the
    default, whose configurations other searches found best: a noisy early epoch says less of them
    than that.
    """

    def __init__(
        self,
        rule: StoppingRule | None,
        check: Check | None = None,
        spare: Callable[[int, int], None] = lambda number, epoch: None,
        exempt: int = 0,
    ) -> None:
        self._rule = rule
        self._exempt = REFERENCE + exempt
        self._check = check or Check()
        self._spare = spare
        self._spared: dict[int, int] = {}
        self._curves: dict[int, dict[int, float]] = {}

    @property
    def judged(self) -> Judged:
        """When a trial may be stopped that does not diverge."""
        return self._rule.judged if self._rule else Judged()

    def replay(self, records: Iterable[TrialRecord]) -> None:
        """Know the trials of a sweep that is resumed, finished or not."""
        for record in records:
            last = record.spared or record.epoch
            self._curves[record.number] = {e: v for e, v in record.curve.items() if e <= last}
            if record.spared:
                self._spared[record.number] = record.spared

    def stops(self, report: Mapping[str, Any]) -> bool:
        """Whether the trial ends with this report."""
        if report.get("diverged"):
            return True
        if "epoch" not in report or "failed" in report:
            return False
        number, epoch = report["trial"], report["epoch"]
        if epoch > self._spared.get(number, epoch):
            return False
        curve = self._curves.setdefault(number, {})
        if epoch in curve:
            return False
        curve[epoch] = score(report)
        self._hear(number, epoch, report)
        if number <= self._exempt or not self._gives_up(number, epoch):
            return False
        if self._check.spares(number):
            self._spared[number] = epoch
            self._spare(number, epoch)
            return False
        return True

    def _hear(self, number: int, epoch: int, report: Mapping[str, Any]) -> None:
        """Keep what a new epoch told beside its val accuracy."""

    def _gives_up(self, number: int, epoch: int) -> bool:
        """Whether the rule stops that trial after this epoch, which its curve holds."""
        return self._rule is not None and self._rule.should_stop(number, epoch, self._curves)


class ParetoStopping(EarlyStopping):
    """MO-ASHA (Schmucker et al. 2021, arXiv:2106.12639), in one bracket, else as `EarlyStopping`.

    A trial passes a rung if it is among the best 1/rf of all that came there, in the order of
    `tuning.study.pareto.best_first`; the best always does, and of equal ones the newest is first.

    Args:
        rule: says at which rungs, and one in how many goes on.
        objectives: what trials are compared in, val accuracy first.
        check, spare, exempt: as of `EarlyStopping`.
    """

    def __init__(
        self,
        rule: Asha,
        objectives: Objectives,
        check: Check | None = None,
        spare: Callable[[int, int], None] = lambda number, epoch: None,
        exempt: int = 0,
    ) -> None:
        super().__init__(rule, check, spare, exempt)
        self._asha, self._objectives = rule, objectives
        self._told: dict[int, dict[int, dict[str, float]]] = {}

    def replay(self, records: Iterable[TrialRecord]) -> None:
        """Know the trials of a sweep that is resumed, finished or not."""
        records = list(records)
        super().replay(records)
        self._told.update({record.number: dict(record.told) for record in records})

    def _hear(self, number: int, epoch: int, report: Mapping[str, Any]) -> None:
        self._told.setdefault(number, {})[epoch] = told_of(report, self._objectives)

    def _gives_up(self, number: int, epoch: int) -> bool:
        if epoch not in self._asha.judged:
            return False
        others = [n for n, curve in self._curves.items() if n != number and epoch in curve]
        there = [number, *others]
        place = best_first([{1: self._losses(n, epoch)} for n in there]).index(0)
        return place > 0 and place >= len(there) / self._asha.reduction_factor

    def _losses(self, number: int, epoch: int) -> tuple[float, ...]:
        curve, told = self._curves[number], self._told.get(number, {})
        until = {e: told[e] for e in told if e <= epoch}
        return losses(self._objectives, {epoch: curve[epoch]}, until)[epoch]


def best_of(trials: int | None) -> int:
    """How many of so many trials `top-k` lets go on: a tenth, at least 3."""
    return max(3, (trials or 0) // 10)


def make_stopping(
    name: SchedulerName,
    epochs: int,
    grace_period: int = 1,
    reduction_factor: float = 3,
    *,
    trials: int | None = None,
    objectives: Objectives = (),
    check: Check | None = None,
    spare: Callable[[int, int], None] = lambda number, epoch: None,
    exempt: int = 0,
) -> EarlyStopping:
    """The rule of that name for at most `trials` trials of `epochs` epochs, by `objectives`.

    Raises `UserError` for another name or for values that `rungs` refuses.
    """
    allowed = tuple(rungs(epochs, grace_period, reduction_factor))
    asha = Asha(allowed, reduction_factor)
    rules: dict[str, StoppingRule | None] = {
        "asha": asha,
        "hyperband": Hyperband(allowed, reduction_factor),
        "median": MedianRule(grace_period),
        "top-k": TopK(grace_period, best_of(trials)),
        "none": None,
    }
    if name not in rules:
        raise unknown("scheduler", name, rules)
    if name == "asha" and len(several := searched(objectives)) > 1:
        return ParetoStopping(asha, several, check, spare, exempt)
    return EarlyStopping(rules[name], check, spare, exempt)
