"""An axis of a chart: where a value lies on it, and at which round numbers it is labelled."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

FEWEST = 2
"""One labelled place tells no scale."""


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers, linear or logarithmic, or a list of categories.

    Of a stretch of `whole` numbers no other is labelled.
    """

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    categories: tuple[str, ...] = ()

    @classmethod
    def over(cls, values: Iterable[float], *, log: bool = False, whole: bool = False) -> Self:
        """The axis that holds all the values, with a little room at both ends."""
        seen = [float(value) for value in values]
        low, high = min(seen, default=0.0), max(seen, default=1.0)
        if log:
            room = (high / low) ** 0.05 if high > low else 2.0
            return cls(low / room, high * room, log=True, whole=whole)
        # Values that differ in their last digits only are one value.
        apart = high - low > 1e-4 * max(abs(low), abs(high))
        room = 0.05 * (high - low if apart else max(abs(low), abs(high))) or 0.5
        return cls(low - room, high + room, whole=whole)

    @classmethod
    def of_accuracies(cls, values: Iterable[float]) -> Self:
        """The axis that holds all the accuracies, in percent: no further than there are any."""
        axis = cls.over(values)
        return cls(max(axis.low, -0.5), min(axis.high, 100.5))

    def place(self, value: Any) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end."""
        if self.categories:
            return (self.categories.index(str(value)) + 0.5) / len(self.categories)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (float(value) - self.low) / (self.high - self.low)

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """At most about `count` places with their labels, at round numbers; two at least.

        A single one only where no other whole number lies on the axis.
        """
        if self.categories:
            return [(self.place(name), name) for name in self.categories]
        values: list[float] = []
        for values in self._finer(count):
            if len(values) >= FEWEST:
                break
        return [(self.place(value), f"{value:g}") for value in values]

    def _finer(self, count: int) -> Iterator[list[float]]:
        """Round numbers on the axis, from those wanted to ever finer ones."""
        if self.log:
            yield self._log_ticks()
        rough = 0.8 * (self.high - self.low) / count
        unit = 10.0 ** math.floor(math.log10(rough))
        steps = [s * unit for s in (1, 2, 2.5, 5, 10) if s * unit >= rough][:1]
        steps += [s * unit for s in (5, 2.5, 2, 1, 0.5, 0.2, 0.1) if s * unit < steps[0]]
        for step in steps:
            if self.whole:
                step = max(round(step), 1)
            first, last = math.ceil(self.low / step), math.floor(self.high / step)
            yield self._within(round(n * step, 12) for n in range(first, last + 1))

    def _log_ticks(self) -> list[float]:
        """Powers of ten, and as many numbers between them as it takes to have three."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        if len(decades) > 7:
            decades = decades[:: -(-len(decades) // 6)]
        values: list[float] = []
        for steps in ((1,), (1, 3), (1, 2, 5)):
            values = self._within(step * 10.0**decade for decade in decades for step in steps)
            if len(values) >= 3:
                break
        return values

    def _within(self, values: Iterable[float]) -> list[float]:
        seen = (value for value in values if self.low <= value <= self.high)
        return [value for value in seen if not self.whole or value == int(value)]
