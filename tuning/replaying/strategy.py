"""What a simulated search is asked for, and who decides in it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, get_args

from kd.errors import UserError, brief, unknown
from tuning.replaying.curves import Curves
from tuning.study.journal import study_in_memory
from tuning.study.sampling import SAMPLERS, TPE
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import SchedulerName, make_stopping, rungs
from tuning.study.trials import TrialRecord

SCHEDULERS: tuple[str, ...] = get_args(SchedulerName)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A search, as it is asked for.

    It ends when `trials` have ended or `epochs_total` are spent, whatever comes first; None sets
    no such end. `slots` trials run at once. `grace_period` None is 1/9 of the epochs, as of a
    sweep. Raises `UserError` for what makes no sense.
    """

    sampler: str = TPE
    scheduler: str = "asha"
    trials: int | None = None
    epochs_total: int | None = None
    slots: int = 1
    grace_period: int | None = None
    reduction_factor: float = 3.0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise unknown("sampler", self.sampler, SAMPLERS)
        if self.scheduler not in SCHEDULERS:
            raise unknown("scheduler", self.scheduler, SCHEDULERS)
        if self.trials is None and self.epochs_total is None:
            raise UserError("Nothing ends this search; give --trials or --epochs-total.")
        for name in ("trials", "epochs_total", "slots", "grace_period"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 1_000_000:
                flag = f"--{name.replace('_', '-')}"
                raise UserError(f"{flag} is {brief(value)}; it must be from 1 to 1000000.")

    def grace(self, epochs: int) -> int:
        """The first epoch after which a trial of `epochs` epochs may be stopped.

        Raises `UserError` for a grace period or a reduction factor that do not fit the epochs.
        """
        grace = max(1, epochs // 9) if self.grace_period is None else self.grace_period
        rungs(epochs, grace, self.reduction_factor)
        return grace

    def planned(self, epochs: int) -> int:
        """How many trials of `epochs` epochs there are at most: what the sampler is told."""
        if self.trials is not None:
            return self.trials
        assert self.epochs_total is not None
        shortest = epochs if self.scheduler == "none" else 1
        return math.ceil(self.epochs_total / shortest)


class Strategy(Protocol):
    """What a search does with its slots."""

    def next(self) -> TrialRecord | None:
        """The trial that takes a free slot, by its number and configuration; None for none now.

        It is asked again when another slot becomes free. A number that was given before goes on
        after its last epoch.
        """

    def told(self, report: Mapping[str, Any]) -> bool:
        """Hears of "trial", "epoch", "val_acc" and perhaps "diverged"; whether it leaves its slot.

        A trial leaves after its last epoch, and when it diverged, whatever is said.
        """


class StudyStrategy:
    """The project's own searcher and stopping rule, called in the order of `engine/lanes`."""

    def __init__(self, source: Curves, plan: Plan, seed: int) -> None:
        self._epochs = source.base.epochs
        planned, grace = plan.planned(self._epochs), plan.grace(self._epochs)
        self.searcher = StudySearcher(
            study_in_memory(), source.space, source.base, planned, seed=seed, sampler=plan.sampler
        )
        # Plan has checked that it is one.
        scheduler: Any = plan.scheduler
        self._stopping = make_stopping(scheduler, self._epochs, grace, plan.reduction_factor)

    def next(self) -> TrialRecord | None:
        """What the searcher suggests."""
        record = self.searcher.suggest()
        return record and TrialRecord(number=record.number, config=record.config)

    def told(self, report: Mapping[str, Any]) -> bool:
        """Ask the rule, then tell the searcher."""
        number = report["trial"]
        if self._stopping.stops(report) or report["epoch"] == self._epochs:
            self.searcher.end(number, report)
            return True
        self.searcher.report(number, report)
        return False
