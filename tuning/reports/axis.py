"""An axis of a chart: where a value lies on it, and at which round numbers it is labelled."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers, linear or logarithmic, or a list of categories."""

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    categories: tuple[str, ...] = ()

    @classmethod
    def over(cls, values: Iterable[float], *, log: bool = False) -> Self:
        """The axis that holds all the values, with a little room at both ends."""
        seen = [float(value) for value in values]
        low, high = min(seen, default=0.0), max(seen, default=1.0)
        if log:
            room = (high / low) ** 0.05 if high > low else 2.0
            return cls(low / room, high * room, log=True)
        room = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
        return cls(low - room, high + room)

    def place(self, value: Any) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end."""
        if self.categories:
            return (self.categories.index(str(value)) + 0.5) / len(self.categories)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (float(value) - self.low) / (self.high - self.low)

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """At most about `count` places with their labels, at round numbers."""
        if self.categories:
            return [(self.place(name), name) for name in self.categories]
        if self.log:
            values = self._log_ticks()
        else:
            rough = 0.8 * (self.high - self.low) / count
            unit = 10.0 ** math.floor(math.log10(rough))
            step = next(s * unit for s in (1, 2, 2.5, 5, 10) if s * unit >= rough)
            first, last = math.ceil(self.low / step), math.floor(self.high / step)
            values = [round(n * step, 12) for n in range(first, last + 1)]
        return [(self.place(v), f"{v:g}") for v in values if self.low <= v <= self.high]

    def _log_ticks(self) -> list[float]:
        """Powers of ten, and as many numbers between them as it takes to have three."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values: list[float] = []
        for steps in ((1,), (1, 3), (1, 2, 5)):
            values = [step * 10.0**decade for decade in decades for step in steps]
            values = [value for value in values if self.low <= value <= self.high]
            if len(values) >= 3:
                break
        return values
