"""What a simulated search is asked for, and who decides in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, get_args

from kd.errors import UserError, brief, unknown
from tuning.records.asked import check_rungs
from tuning.replaying.curves import Curves
from tuning.study.budget import Budget, most_trials
from tuning.study.journal import study_in_memory
from tuning.study.objectives import check_objectives, chosen
from tuning.study.rules import FACTOR, first_rung, rungs
from tuning.study.sampling import SAMPLERS, TPE
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import Check, SchedulerName, make_stopping
from tuning.study.trials import TrialRecord
from tuning.study.warm import COLD, WarmStart

SCHEDULERS: tuple[str, ...] = get_args(SchedulerName)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A search, as it is asked for.

    It ends when `trials` have ended or `epochs_total` are spent, whatever comes first; None sets
    no such end. `slots` trials run at once. `grace_period` None is 1/3 of the epochs, as of a
    sweep; of the trials that would be stopped the share `check_rungs` runs on. Trials are compared
    in `objectives`, by name. An epoch of a trial is one on each of its `seeds`, of which the curves
    are the mean. Raises `UserError` for what makes no sense.
    """

    sampler: str = TPE
    scheduler: str = "asha"
    trials: int | None = None
    epochs_total: int | None = None
    slots: int = 1
    grace_period: int | None = None
    reduction_factor: float = FACTOR
    check_rungs: float = 0.0
    objectives: tuple[str, ...] = ()
    seeds: int = 1

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise unknown("sampler", self.sampler, SAMPLERS)
        if self.scheduler not in SCHEDULERS:
            raise unknown("scheduler", self.scheduler, SCHEDULERS)
        check_objectives(self.objectives, self.sampler, self.scheduler, SAMPLERS)
        if self.trials is None and self.epochs_total is None:
            raise UserError("Nothing ends this search; give --trials or --epochs-total.")
        if self.trials is None and self.scheduler == "top-k":
            raise UserError("--scheduler top-k keeps a tenth of the trials; give --trials too.")
        if not 0 <= self.check_rungs <= 1:
            raise UserError(f"--check-rungs is {self.check_rungs:g}; it must be from 0 to 1.")
        check_rungs(self.check_rungs, self.scheduler)
        for name in ("trials", "epochs_total", "slots", "grace_period"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 1_000_000:
                flag = f"--{name.replace('_', '-')}"
                raise UserError(f"{flag} is {brief(value)}; it must be from 1 to 1000000.")

    def check_offered(self, source: str, offers: Sequence[str]) -> None:
        """Raise `UserError` where the curves of `source` do not tell of an objective."""
        for one in chosen(self.objectives):
            if one.name not in offers:
                raise UserError(
                    f"The curves of {source} tell nothing of {one.name}; they have "
                    f"{' and '.join(offers)}."
                )

    def grace(self, epochs: int) -> int:
        """The first epoch after which a trial of `epochs` epochs may be stopped.

        Raises `UserError` for a grace period or a reduction factor that do not fit the epochs.
        """
        grace = first_rung(epochs) if self.grace_period is None else self.grace_period
        rungs(epochs, grace, self.reduction_factor)
        return grace

    def at_once(self, epochs: int) -> float:
        """How many trials of `epochs` epochs run at once at most, however many slots there are."""
        return Budget(epochs=self.epochs_total, seeds=self.seeds).at_once(epochs)

    def planned(self, epochs: int) -> int:
        """How many trials of `epochs` epochs there are room for: what the sampler is told."""
        if self.trials is not None:
            return self.trials
        assert self.epochs_total is not None
        shortest = epochs if self.scheduler == "none" else self.grace(epochs)
        return most_trials(self.epochs_total, shortest * self.seeds)


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
    """The project's own searcher and stopping rule, called in the order of `engine/lanes`.

    After an `earlier` one it goes on with that one's study, as a search that was interrupted.
    `warm` is what it begins with beside the paper's default.
    """

    def __init__(
        self,
        source: Curves,
        plan: Plan,
        seed: int,
        earlier: Self | None = None,
        warm: WarmStart | None = None,
    ) -> None:
        self._epochs = source.base.epochs
        planned, grace = plan.planned(self._epochs), plan.grace(self._epochs)
        self.searcher: StudySearcher = StudySearcher(
            earlier.searcher.study if earlier else study_in_memory(),
            source.space,
            source.base,
            plan.trials,
            planned=planned,
            seed=seed,
            sampler=plan.sampler,
            objectives=chosen(plan.objectives),
            warm=warm or COLD,
        )
        # Plan has checked that it is one.
        scheduler: Any = plan.scheduler
        self._stopping = make_stopping(
            scheduler,
            self._epochs,
            grace,
            plan.reduction_factor,
            objectives=chosen(plan.objectives),
            trials=planned,
            exempt=len(warm.first) if warm else 0,
            check=Check(plan.check_rungs, seed),
            spare=self.searcher.spare,
        )
        self._running, self._at_once = set[int](), plan.at_once(self._epochs)
        self._stopping.replay(self.searcher.records.values())

    def next(self) -> TrialRecord | None:
        """What the searcher suggests, where not as many run as may."""
        if len(self._running) >= self._at_once or (record := self.searcher.suggest()) is None:
            return None
        self._running.add(record.number)
        return TrialRecord(number=record.number, config=record.config)

    def told(self, report: Mapping[str, Any]) -> bool:
        """Ask the rule, then tell the searcher."""
        number = report["trial"]
        if self._stopping.stops(report) or report["epoch"] == self._epochs:
            self.searcher.end(number, report)
            self._running.discard(number)
            return True
        self.searcher.report(number, report)
        return False
