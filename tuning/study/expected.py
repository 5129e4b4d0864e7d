"""How a search will go that has not begun: simulated over curves that are exchangeable.

Nobody knows the curves yet, so every trial draws its own from the same distribution, and the
project's own stopping rule decides on them, in the order in which slots would be free. A trial has
a level, N(0, 1), about which its epochs lie, N(0, `NOISE`). A sampler that learns draws better ones
later, which are stopped less: from trial `AT_RANDOM` on, trial n is L·ln(n/`AT_RANDOM`) higher. How
much can be learnt nobody knows either, so each simulation draws L evenly from 0 to `LEARNT`.

So 16 trials of 9 epochs take 93 epochs on average, 64 of 27 take 801 and 8 of 6 take 31; searches
simulated over the generated landscapes of `tuning/replaying` take 95 (n = 48), 811 (n = 24) and 31
(n = 48). Successive halving alone, by its formula, would take 80, 448 and 27. A sampler that draws
by chance has L = 0.
"""

import heapq
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from tuning.study.budget import HOUR, Budget
from tuning.study.stopping import Check, EarlyStopping, SchedulerName, make_stopping

NOISE = 0.5
LEARNT, AT_RANDOM = 2.0, 8
LOOKS = 4
"""Epochs at most at which a simulated trial is judged: the median rule looks at all."""
SAMPLE = 300
"""Trials that are simulated at most; beyond them all goes on as it did."""
CALM, CROWDED = 0.12, 0.15
"""The doubt on a machine that does nothing else; and for each doubling of the work there is."""
WORK = 36_000
"""Looks at trials of all simulations together, about: a large search is simulated less often."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long things take while all slots train, in seconds; an epoch on all of a trial's seeds.

    `epoch` and `trial`, what a trial takes beside its epochs, are of one slot; `start` is what the
    workers take before their first trials. `before` are a training's phases before its first
    epoch, `shared` where only the first trials of a sweep train them. `doubt` is the standard
    deviation of what will be, as a share of it.
    """

    epoch: float
    trial: float = 0.0
    start: float = 0.0
    before: float = 0.0
    shared: bool = False
    doubt: float = 0.1

    @property
    def first(self) -> float:
        """What the first trials wait for beside what each does."""
        return self.start + self.before * self.shared

    @property
    def each(self) -> float:
        """What each trial takes beside its epochs."""
        return self.trial + self.before * (not self.shared)


def doubt(own: int = 0) -> float:
    """The `Pace.doubt` of what is measured on this machine now, `own` processes being the sweep's.

    The more others wait for its cores, the less their work now says of their work later.
    """
    others = max(os.getloadavg()[0] - own, 0.0)
    return math.hypot(CALM, CROWDED * math.log2(1 + others / (os.cpu_count() or 1)))


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A search as far as its course depends on it; `trials` None where the budget alone ends it.

    `gpus` is what each trial holds; `learns` says whether later trials are drawn better, and
    `check` which ones run on though they would be stopped. An epoch is one on each of `seeds`.
    """

    trials: int | None
    epochs: int
    scheduler: SchedulerName
    grace_period: int
    reduction_factor: float
    slots: int
    budget: Budget = field(default_factory=Budget)
    gpus: float = 0.0
    learns: bool = True
    check: Check = field(default_factory=Check)
    seeds: int = 1


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a search took: `busy` are the seconds of all its trials together."""

    trials: float
    epochs: float
    seconds: float
    busy: float


def courses(outline: Outline, pace: Pace, seed: int = 0) -> list[Course]:
    """Simulated searches, as many as are told apart from chance; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    most = SAMPLE if outline.trials is None else min(outline.trials, SAMPLE)
    looks = most * (len(_stops(outline)) + 1)
    count = min(max(WORK // looks, 20), 300)
    return [_Simulation(outline, _drawn(pace, rng), most, rng).run() for _ in range(count)]


def _rule(outline: Outline) -> EarlyStopping:
    return make_stopping(
        outline.scheduler,
        outline.epochs,
        outline.grace_period,
        outline.reduction_factor,
        trials=outline.trials,
        check=outline.check,
    )


def _stops(outline: Outline) -> list[int]:
    """The epochs at which a simulated trial is judged, and its last one."""
    rule = _rule(outline).judged
    judged = [epoch for epoch in range(1, outline.epochs) if epoch in rule]
    return [*judged[:: math.ceil(len(judged) / LOOKS) or 1], outline.epochs]


def _drawn(pace: Pace, rng: np.random.Generator) -> Pace:
    """What may come of `pace`."""
    faster, sooner = np.exp(pace.doubt * rng.normal(size=2)).tolist()
    return replace(
        pace,
        epoch=pace.epoch * faster,
        trial=pace.trial * faster,
        before=pace.before * faster,
        start=pace.start * sooner,
    )


@dataclass
class _Segment:
    """A trial on its way from one epoch that is judged to the next."""

    begin: float
    end: float
    epochs: int

    def done(self, now: float) -> float:
        return min((now - self.begin) / (self.end - self.begin), 1.0) if now > self.begin else 0.0


class _Simulation:
    """One simulation; time is in seconds from the first trial's beginning."""

    def __init__(self, outline: Outline, pace: Pace, most: int, rng: np.random.Generator) -> None:
        self.outline, self.pace, self.most, self.rng = outline, pace, most, rng
        self.rule, self.stops = _rule(outline), _stops(outline)
        self.learns = LEARNT * rng.random() * outline.learns
        self.levels: list[float] = []
        self.running: dict[int, _Segment] = {}
        self.events: list[tuple[float, int, int]] = []
        self.epochs, self.busy = 0.0, 0.0

    def run(self) -> Course:
        """The search to its end."""
        for _ in range(self.outline.slots):
            self._begin(0.0, self.pace.first)
        before = 0.0
        while self.events:
            now, number, stop = heapq.heappop(self.events)
            if self._spent(now) >= 1:
                return self._cut(_crossing(self._spent, before, now))
            before = now
            self._end(now, number, stop)
        return self._beyond(self._at(before))

    # -- the trials ---------------------------------------------------------------------------

    def _begin(self, now: float, wait: float = 0.0) -> None:
        """Give a free slot to the next trial, if there is one."""
        number = len(self.levels)
        if number < self.most:
            learnt = self.learns * math.log(max(number / AT_RANDOM, 1))
            self.levels.append(self.rng.normal() + learnt)
            self._go_on(now, number, 0, wait + self.pace.each)

    def _go_on(self, now: float, number: int, stop: int, wait: float = 0.0) -> None:
        epochs = self.stops[stop] - (self.stops[stop - 1] if stop else 0)
        end = now + wait + epochs * self.pace.epoch
        self.running[number] = _Segment(now, end, epochs * self.outline.seeds)
        heapq.heappush(self.events, (end, number, stop))

    def _end(self, now: float, number: int, stop: int) -> None:
        """A trial came to an epoch that is judged."""
        segment, epoch = self.running.pop(number), self.stops[stop]
        self.epochs += segment.epochs
        self.busy += segment.end - segment.begin
        risen = 10 * (1 - math.exp(-3 * epoch / self.outline.epochs))
        value = 50 + risen + self.levels[number] + NOISE * self.rng.normal()
        stopped = self.rule.stops({"trial": number, "epoch": epoch, "val_acc": value})
        if stopped or epoch == self.outline.epochs:
            self._begin(now)
        else:
            self._go_on(now, number, stop + 1)

    # -- what it has spent --------------------------------------------------------------------

    def _at(self, now: float) -> Course:
        parts = [(segment, segment.done(now)) for segment in self.running.values()]
        return Course(
            trials=len(self.levels),
            epochs=self.epochs + sum(segment.epochs * done for segment, done in parts),
            seconds=now,
            busy=self.busy + sum((s.end - s.begin) * done for s, done in parts),
        )

    def _cut(self, now: float) -> Course:
        """The search that a bound ends: each trial with the epoch that it is in, or is set up for.

        A bound in epochs lets none begin that it has no room for.
        """
        if self.outline.budget.epochs is not None:
            return self._at(now)
        epochs, busy, last = self.epochs, self.busy, now
        for segment in self.running.values():
            whole = segment.epochs / self.outline.seeds
            first = segment.end - whole * self.pace.epoch
            done = max(math.ceil((now - first) / self.pace.epoch), 1)
            end = first + done * self.pace.epoch
            epochs, busy = epochs + done * self.outline.seeds, busy + end - segment.begin
            last = max(last, end)
        return Course(trials=len(self.levels), epochs=epochs, seconds=last, busy=busy)

    def _spent(self, now: float) -> float:
        """The largest share that is spent of any bound."""
        return self._share(self._at(now)) if self.outline.budget else 0.0

    def _share(self, course: Course) -> float:
        budget, held = self.outline.budget, course.busy * self.outline.gpus / HOUR
        hours = course.seconds / HOUR
        usd = (budget.price or 0.0) * (held if self.outline.gpus else hours)
        stands = budget.standing(epochs=course.epochs, hours=hours, gpu_hours=held, usd=usd)
        return max(bound.share for bound in stands)

    def _beyond(self, course: Course) -> Course:
        """What a search takes of which only the first trials were simulated."""
        planned = self.outline.trials
        factor = math.inf if planned is None else planned / self.most
        if self.outline.budget and (share := self._share(course)) > 0:
            factor = min(factor, 1 / share)
        if not math.isfinite(factor):
            return course
        return Course(
            trials=course.trials * factor,
            epochs=course.epochs * factor,
            seconds=course.seconds * factor,
            busy=course.busy * factor,
        )


def _crossing(share: Callable[[float], float], low: float, high: float) -> float:
    """When a share that grows from `low` to `high` reaches 1."""
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if share(middle) >= 1 else (middle, high)
    return high
