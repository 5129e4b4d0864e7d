"""The rules by which a trial is stopped before its last epoch: ASHA, Hyperband, median, top-k.

They read curves and nothing else, so that a sweep that was interrupted goes on with the same
rungs, and any engine may ask them.
"""

import math
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from statistics import fmean, median
from typing import Protocol

import numpy as np

from kd.errors import UserError

Curves = Mapping[int, Mapping[int, float]]
"""From a trial's number to its curve: val accuracy in percent by 1-based epoch."""

FACTOR = 2.0
"""One trial in so many goes on at a rung unless it is said otherwise: docs/search.md says why."""
GOLDEN = (math.sqrt(5) - 1) / 2


def first_rung(epochs: int) -> int:
    """The epoch of the first rung unless it is said otherwise: earlier ones tell too little."""
    return max(1, epochs // 3)


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
class Hyperband:
    """Asynchronous Hyperband (Li et al., arXiv:1810.05934, over Li et al., JMLR 18, 2018).

    The same halving from every rung on, each in a bracket of its own: the first has all `rungs`,
    the second begins at the second rung, and the last one stops nothing. A trial's bracket is a
    function of its number, and it is compared with those of its bracket alone. Of K + 1 brackets
    the one with s rungs gets the share of ⌈(K + 1)/(s + 1) · ηˢ⌉, so that all cost about as much
    (algorithm 1 of the second paper).
    """

    rungs: tuple[int, ...]
    reduction_factor: float

    @property
    def judged(self) -> Judged:
        """At the rungs alone."""
        return Judged(self.rungs)

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """The part of all trials that each bracket gets, the one of most rungs first."""
        most = len(self.rungs)
        sizes = [
            math.ceil((most + 1) / (s + 1) * self.reduction_factor**s) for s in range(most, -1, -1)
        ]
        return tuple(size / sum(sizes) for size in sizes)

    def bracket(self, number: int) -> int:
        """The bracket of trial `number`, as many rungs of which are left out.

        Multiples of the golden ratio fall evenly, so the first n trials have the shares too.
        """
        place = number * GOLDEN % 1
        return min(bisect(tuple(accumulate(self.shares)), place), len(self.rungs))

    def should_stop(self, number: int, epoch: int, curves: Curves) -> bool:
        """Whether `number` is outside the best 1/rf of its bracket at this rung."""
        own = self.bracket(number)
        halving = Asha(self.rungs[own:], self.reduction_factor)
        if epoch not in halving.judged:
            return False
        beside = {n: curve for n, curve in curves.items() if self.bracket(n) == own}
        return halving.should_stop(number, epoch, beside)


@dataclass(frozen=True)
class TopK:
    """A trial goes on only while it is among the `k` best at the first rung, of all so far.

    One that others come before later is stopped then, at its next epoch. Of two that are equal
    the earlier one is better.
    """

    grace_period: int
    k: int

    @property
    def judged(self) -> Judged:
        """Whenever the grace period has passed."""
        return Judged(since=self.grace_period)

    def should_stop(self, number: int, epoch: int, curves: Curves) -> bool:
        """Whether `k` others were better after the grace period."""
        rung = self.grace_period
        if epoch not in self.judged or rung not in curves[number]:
            return False
        own = (curves[number][rung], -number)
        better = sum((c[rung], -n) > own for n, c in curves.items() if rung in c)
        return better >= self.k


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
