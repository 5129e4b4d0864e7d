"""One search, simulated: slots, epochs that take their seconds, and what would be handed out."""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kd.config import TrainConfig
from tuning.replaying.curves import Curves
from tuning.replaying.growth import Growth
from tuning.replaying.strategy import Plan, Strategy, StudyStrategy
from tuning.study.cube import FloatArray
from tuning.study.objectives import VAL_ACC, Objectives, chosen, told_of
from tuning.study.stopping import score
from tuning.study.trials import TrialRecord, best_trial, outcome
from tuning.study.warm import WarmStart


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where a search stands when a trial leaves its slot.

    `epochs` and `seconds` are spent until then, over all trials and by the clock. `handed` is the
    number of the trial whose configuration would be handed out: the completed one of highest
    score, None before there is one; a person has the paper's default then. `truth` is what that
    configuration is expected to score, in percent, and `regret` what it lacks of the best.
    `volume` is the hypervolume of the completed trials in the search's objectives, in parts of that
    of all that the source says can be reached; None for val accuracy alone.
    """

    trial: int
    epochs: int
    seconds: float
    handed: int | None
    truth: float
    regret: float
    volume: float | None = None


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a simulated search went: where it stood at the beginning, and as each trial ended.

    `epochs` and `seconds` are spent in all, those of trials that the end cut short too.
    """

    start: Moment
    moments: Sequence[Moment]
    epochs: int
    seconds: float

    @property
    def last(self) -> Moment:
        """Where it stood at its end."""
        return self.moments[-1] if self.moments else self.start

    def at(self, epochs: float) -> Moment:
        """Where it stood when `epochs` had been spent."""
        past = (moment for moment in reversed(self.moments) if moment.epochs <= epochs)
        return next(past, self.start)

    def at_second(self, seconds: float) -> Moment:
        """Where it stood when so many simulated seconds had passed."""
        past = (moment for moment in reversed(self.moments) if moment.seconds <= seconds)
        return next(past, self.start)

    def epochs_until(self, regret: float) -> int | None:
        """The epochs after which the regret was that much or less for good; None if it never was.

        For good: a lucky seed may be handed out later that is worse.
        """
        reached: int | None = None
        for moment in (self.start, *self.moments):
            if moment.regret > regret:
                reached = None
            elif reached is None:
                reached = moment.epochs
        return reached


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A search that was simulated.

    `records` are its trials by number, with times in simulated seconds from 0 on; one that the
    end cut short is running.
    """

    records: Sequence[TrialRecord]
    course: Course


def simulate(source: Curves, plan: Plan, seed: int, warm: WarmStart | None = None) -> Simulated:
    """A search by the project's own searcher and stopping rule.

    `seed` is the sampler's and the trainings'; the same one gives the same. `warm` is what it
    begins with beside the paper's default.
    """
    strategy = StudyStrategy(source, plan, seed, warm=warm)
    return play(
        source,
        strategy,
        slots=plan.slots,
        epochs_total=plan.epochs_total,
        seed=seed,
        objectives=chosen(plan.objectives),
        seeds=plan.seeds,
    )


def play(
    source: Curves,
    strategy: Strategy,
    *,
    slots: int,
    epochs_total: int | None,
    seed: int,
    objectives: Objectives = (VAL_ACC,),
    seeds: int = 1,
) -> Simulated:
    """Let `strategy` search: `slots` at once, and `epochs_total` epochs at most if that is given.

    No epoch begins beyond the budget. Of epochs that end at the same time, the one of the trial
    with the smaller number is told first. Beside its val accuracy an epoch tells of `objectives`;
    it is one on each of `seeds`.
    """
    budget = math.inf if epochs_total is None else epochs_total
    table = _Table(source, strategy, seed, budget, objectives, seeds)
    for _ in range(slots):
        table.free += 1
        table.fill()
    while table.events:
        table.step()
    return table.result()


class _Table:
    """The state of one simulation: what runs in which second, and what was told."""

    def __init__(
        self,
        source: Curves,
        strategy: Strategy,
        seed: int,
        budget: float,
        objectives: Objectives,
        seeds: int,
    ) -> None:
        self.source, self.strategy, self.seed, self.seeds = source, strategy, seed, seeds
        self.budget = budget
        self.free, self.begun, self.told, self.now = 0, 0, 0, 0.0
        self.events: list[tuple[float, int]] = []
        self.records: dict[int, TrialRecord] = {}
        self.curves: dict[int, FloatArray] = {}
        self.configs: dict[int, TrainConfig] = {}
        self.paces: dict[int, float] = {}
        self.best: TrialRecord | None = None
        self.optimum = source.best()
        self.standing = self._standing(source.base)
        self.grown = Growth(source, objectives) if len(objectives) > 1 else None
        self.moments: list[Moment] = []
        self.start = self._moment(-1)

    @property
    def affords(self) -> bool:
        """Whether an epoch is left."""
        return self.begun + self.seeds <= self.budget

    def fill(self) -> None:
        """Give free slots to trials, as long as there are some and an epoch is left."""
        while self.free and self.affords:
            given = self.strategy.next()
            if given is None:
                return
            number = given.number
            if number not in self.records:
                config = TrainConfig.from_dict(given.config)
                self.records[number], self.configs[number] = given, config
                self.curves[number] = self.source.curve(config, self.seed)
                self.paces[number] = self.source.seconds(config)
                given.started = self.now
            record = self.records[number]
            record.state, record.reason, record.ended = "running", "", None
            record.spans = (*record.spans, (self.now, self.now))
            self.free -= 1
            self._begin_epoch(number)

    def step(self) -> None:
        """Let the next epoch end, and its trial go on or leave its slot."""
        self.now, number = heapq.heappop(self.events)
        record, self.told = self.records[number], self.told + self.seeds
        epoch = record.epoch + 1
        value = float(self.curves[number][epoch - 1])
        report: dict[str, Any] = {"trial": number, "epoch": epoch, "val_acc": value}
        if not math.isfinite(value):
            report["diverged"] = True
        elif self.grown:
            report |= self.grown.told(self.configs[number], self.seed, epoch)
            record.told[epoch] = told_of(report, self.grown.objectives)
        record.curve[epoch] = score(report)
        leaves = self.strategy.told(report)
        *earlier, (start, _) = record.spans
        record.spans = (*earlier, (start, self.now))
        if leaves or epoch >= self.source.base.epochs or "diverged" in report:
            self._leave(record, report)
            self.free += 1
            self.fill()
        elif self.affords:
            self._begin_epoch(number)

    def result(self) -> Simulated:
        """What came of it."""
        course = Course(
            start=self.start, moments=tuple(self.moments), epochs=self.told, seconds=self.now
        )
        records = tuple(self.records[number] for number in sorted(self.records))
        return Simulated(records=records, course=course)

    def _begin_epoch(self, number: int) -> None:
        self.begun += self.seeds
        heapq.heappush(self.events, (self.now + self.paces[number], number))

    def _leave(self, record: TrialRecord, report: Mapping[str, Any]) -> None:
        record.ended = self.now
        record.state, record.reason = outcome(record, report, crashed=False)
        if self.grown and record.state == "completed":
            self.grown.add(record)
        best = best_trial([trial for trial in (self.best, record) if trial is not None])
        if best is not self.best and best is not None:
            self.best = best
            self.standing = self._standing(self.configs[best.number])
        self.moments.append(self._moment(record.number))

    def _standing(self, config: TrainConfig) -> tuple[float, float]:
        truth = self.source.truth(config)
        return truth, self.optimum - truth

    def _moment(self, number: int) -> Moment:
        truth, regret = self.standing
        return Moment(
            trial=number,
            epochs=self.told,
            seconds=self.now,
            handed=None if self.best is None else self.best.number,
            truth=truth,
            regret=regret,
            volume=self.grown.volume if self.grown else None,
        )
