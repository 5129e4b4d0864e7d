"""What a search may spend, and whether it has."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tuning.study.trials import Span, TrialRecord

HOUR = 3600.0
FLAGS = {"epochs": "epochs-total", "hours": "hours", "GPU-hours": "gpu-hours", "USD": "cost"}
"""The flag that gives a bound in each unit."""


class Bound(NamedTuple):
    """One bound of a search, in a unit: `most` of it, what is `spent`, what is set `aside`."""

    unit: str
    most: float
    spent: float
    aside: float = 0.0

    @property
    def own(self) -> float:
        """What the search itself may spend."""
        return self.most - self.aside

    @property
    def share(self) -> float:
        """Which part of its own the search has spent; 1 and more where nothing is left."""
        return self.spent / self.own if self.own > 0 else math.inf

    @property
    def doubled(self) -> str:
        """The flag that gives the double, of what was spent where that is more."""
        most = 2 * max(self.most, self.spent)
        return f"--{FLAGS[self.unit]} {int(most) if self.unit == 'epochs' else f'{most:.3g}'}"

    def __str__(self) -> str:
        whole = f"{self.most:g} {self.unit}"
        return f"{self.own:.6g} of {whole}" if self.aside else whole


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bounds of a search, each None where there is none.

    `epochs` are of all trials together; `hours` pass by the clock while any trial runs, without
    the pauses of an interrupted sweep; `gpu_hours` are those of all trials, each times the GPUs
    that it held; `cost` is in USD, at a `price` of one hour (see `charged`). What `confirming`
    epochs will take at the pace of the search is set aside, but never more than half of a bound.
    An epoch of a trial is one on each of its `seeds`.
    """

    epochs: int | None = None
    hours: float | None = None
    gpu_hours: float | None = None
    cost: float | None = None
    price: float | None = None
    confirming: int = 0
    seeds: int = 1

    def __bool__(self) -> bool:
        """Whether anything is bounded."""
        return any(b is not None for b in (self.epochs, self.hours, self.gpu_hours, self.cost))

    def __str__(self) -> str:
        """The bounds in words: `500 epochs and 2 hours`; "" where there is none."""
        return " and ".join(f"{bound.most:g} {bound.unit}" for bound in self.bounds(()))

    def bounds(self, trials: Iterable[TrialRecord], begun: int = 0) -> list[Bound]:
        """How the bounds stand after `trials`, `begun` epochs of which are not told yet."""
        trials = list(trials)
        return self.standing(
            epochs=sum(trial.trained for trial in trials),
            hours=hours(trials),
            gpu_hours=gpu_hours(trials),
            usd=self.usd(trials),
            begun=begun,
        )

    def standing(
        self, *, epochs: float, hours: float, gpu_hours: float, usd: float, begun: int = 0
    ) -> list[Bound]:
        """How the bounds stand after so many epochs that were told, and what they took."""
        found: list[Bound] = []
        if self.epochs is not None:
            aside = min(self.confirming, self.epochs // 2)
            found.append(Bound("epochs", self.epochs, epochs + begun, aside))
        for unit, most, spent in (
            ("hours", self.hours, hours),
            ("GPU-hours", self.gpu_hours, gpu_hours),
            ("USD", self.cost, usd),
        ):
            if most is not None:
                needed = self.confirming * spent / epochs if epochs else math.inf
                kept = min(needed, most / 2) if self.confirming else 0.0
                found.append(Bound(unit, most, spent, kept))
        return found

    def at_once(self, epochs: int) -> float:
        """How many trials of so many epochs may run at once: as many as could all be ended.

        Of more that share a bound in epochs none would come to its end, the paper's default
        neither, and nothing could be handed out.
        """
        if self.epochs is None:
            return math.inf
        own = self.epochs - min(self.confirming, self.epochs // 2)
        return max(1, own // (epochs * self.seeds))

    def nearest(self, trials: Iterable[TrialRecord]) -> Bound | None:
        """The bound of which the least is left; None where there is none."""
        return max(self.bounds(trials), key=lambda bound: bound.share, default=None)

    def reached(self, trials: Iterable[TrialRecord], begun: int = 0) -> list[Bound]:
        """The bounds of which nothing is left, `begun` trials being in an epoch.

        A bound in epochs is one, too, where it has no room for an epoch on all seeds.
        """
        if not self:
            return []
        taken = begun * self.seeds + self.seeds - 1
        return [bound for bound in self.bounds(trials, taken) if bound.share >= 1]

    def spent(self, trials: Iterable[TrialRecord], begun: int = 0) -> str:
        """The first bound that is `reached`, as `500 epochs`; "" for none."""
        return next(map(str, self.reached(trials, begun)), "")

    def usd(self, trials: Iterable[TrialRecord]) -> float:
        """What `trials` cost; 0 without a price."""
        return (self.price or 0.0) * charged(list(trials))


def most_trials(epochs: int, shortest: int) -> int:
    """How many trials `epochs` have room for, each training `shortest` of them at least."""
    return math.ceil(epochs / shortest)


# -- what trials took ---------------------------------------------------------------------------


def merged(trials: Iterable[TrialRecord]) -> list[Span]:
    """When any trial ran, in order; the pauses of an interrupted sweep lie between."""
    spans: list[Span] = []
    for start, stop in sorted(span for trial in trials for span in trial.active):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((start, max(start, stop)))
    return spans


def seconds(trials: Iterable[TrialRecord]) -> float:
    """How long any trial ran, in seconds, without the pauses between."""
    return sum(stop - start for start, stop in merged(trials))


def hours(trials: Iterable[TrialRecord]) -> float:
    """The same in hours."""
    return seconds(trials) / HOUR


def gpu_hours(trials: Iterable[TrialRecord]) -> float:
    """Hours of all trials together, each times the GPUs that it held."""
    return sum(trial.seconds * trial.gpus for trial in trials) / HOUR


def charged(trials: Sequence[TrialRecord]) -> float:
    """The hours that cost something: GPU-hours, and without any GPU those by the clock."""
    return gpu_hours(trials) if any(trial.gpus for trial in trials) else hours(trials)
