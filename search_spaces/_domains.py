"""What one hyperparameter may be: a range, a range above another one, or a choice."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from sys import float_info
from typing import Any, Self, TypeGuard

Conditions = Mapping[str, tuple[Any, ...]]
"""Names of other hyperparameters, and the values of each under which a domain is searched."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """A closed interval; `log` draws evenly in the logarithm, `integer` whole numbers.

    With a `step` it is the grid low, low + step, … up to `high`, and no number between.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    step: float | None = None
    when: Conditions = field(default_factory=dict)

    def __str__(self) -> str:
        low, high = self.corners()
        step = "" if self.step is None else f" in steps of {self.step:g}"
        return f"{low:g} … {high:g}{step}{' (log)' if self.log else ''}"

    def nearest(self, value: Any) -> Any:
        """The value of this range that is nearest to `value`."""
        if self.step is None:
            return min(max(value, self.low), self.high)
        low, step = exact(self.low), exact(self.step)
        last = (exact(self.high) - low) // step
        # In fractions, so that 0.1 + 2 · 0.1 is 0.3.
        found = low + min(max(round((exact(value) - low) / step), 0), last) * step
        return int(found) if self.integer else float(found)

    def corners(self) -> tuple[Any, ...]:
        """The values between which all others lie."""
        return (self.low, self.high if self.step is None else self.nearest(self.high))

    def members(self) -> tuple[Any, ...] | None:
        """All its values in their order; None where no step counts them."""
        if self.step is None:
            return (self.low,) if self.low == self.high else None
        count = (exact(self.high) - exact(self.low)) // exact(self.step) + 1
        values = (exact(self.low) + n * exact(self.step) for n in range(count))
        return tuple(map(self.nearest, values))

    def until(self, high: float) -> Self:
        """The same up to `high` at most."""
        return replace(self, high=min(self.high, high))


@dataclass(frozen=True, kw_only=True)
class RangeAbove:
    """An interval that starts at `low` or at the value of `other`, whichever is larger."""

    low: float
    high: float
    other: str
    when: Conditions = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.low:g} … {self.high:g}, from {self.other} on"

    def start(self, values: Mapping[str, Any]) -> float:
        """Where the interval starts, given the value of `other`."""
        other: float = values[self.other]
        return max(self.low, other)

    def nearest(self, value: Any) -> Any:
        """The value nearest to `value`, as far as `other` allows it."""
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]
    when: Conditions = field(default_factory=dict, kw_only=True)

    def __str__(self) -> str:
        return " | ".join(map(written, self.values))

    def nearest(self, value: Any) -> Any:
        """`value` if it may be chosen, else of a number the nearest, of all else the first."""
        if value in self.values:
            return value
        numbers = [choice for choice in self.values if is_number(choice)]
        if numbers and is_number(value):
            return min(numbers, key=lambda choice: abs(exact(choice) - exact(value)))
        return self.values[0]

    def corners(self) -> tuple[Any, ...]:
        """Every choice."""
        return self.values

    def members(self) -> tuple[Any, ...]:
        """Every choice, once."""
        once: list[Any] = []
        for value in self.values:
            if not any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in once):
                once.append(value)
        return tuple(once)


Domain = Range | RangeAbove | Choice


def written(value: Any) -> str:
    """A value as YAML has it: `true`, not `True`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def exact(number: float) -> Fraction:
    """The number that a person typed: 0.1 is a tenth, not the float beside it."""
    return Fraction(str(number))


def number_or_text(value: Any) -> Any:
    """The number that a text stands for, if any: to YAML, `1e-4` is text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite number that a float can hold."""
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and abs(value) <= float_info.max
