"""What one hyperparameter may be: a range, a range above another one, or a choice."""

from collections.abc import Mapping
from dataclasses import dataclass
from sys import float_info
from typing import Any, TypeGuard

from kd.errors import UserError, brief, unknown


@dataclass(frozen=True, kw_only=True)
class Range:
    """A closed interval; `log` draws evenly in the logarithm, `integer` whole numbers."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __str__(self) -> str:
        return f"{self.low:g} … {self.high:g}{' (log)' if self.log else ''}"

    def nearest(self, value: Any) -> Any:
        """The value of this range that is nearest to `value`."""
        return min(max(value, self.low), self.high)

    def corners(self) -> tuple[Any, ...]:
        """The values between which all others lie."""
        return (self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class RangeAbove:
    """An interval that starts at `low` or at the value of `other`, whichever is larger."""

    low: float
    high: float
    other: str

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

    def __str__(self) -> str:
        return " | ".join(map(str, self.values))

    def nearest(self, value: Any) -> Any:
        """`value` if it may be chosen, else the first choice."""
        return value if value in self.values else self.values[0]

    def corners(self) -> tuple[Any, ...]:
        """Every choice."""
        return self.values


Domain = Range | RangeAbove | Choice


def read_domain(
    name: str, spec: Any, *, replaces: Domain | None, numeric: bool = True, integer: bool
) -> Domain:
    """What a file says about `name`: [low, high], {low, high, log}, or a list of choices.

    What is not `numeric` has choices alone. A range that replaces a `RangeAbove` stays above the
    same hyperparameter. Raises `UserError` for a range that is upside down, not of numbers, or no
    range at all.
    """
    if isinstance(spec, list):
        spec = _written_out([number_or_text(value) for value in spec], replaces, numeric)
    if not numeric and isinstance(spec, dict) and "choices" not in spec:
        raise UserError(f"{name} is no number; give a list of choices.")
    if not isinstance(spec, dict) or not spec:
        raise UserError(
            f"{name} is {brief(repr(spec))}; give a range [low, high] or a list of choices."
        )
    known = ["choices"] if "choices" in spec else ["low", "high", "log"]
    for key in spec:
        if key not in known:
            raise UserError(f"{name}: {unknown('key', key, [*known, 'choices'])}")
    if "choices" in spec:
        choices = spec["choices"]
        if not isinstance(choices, list) or not choices:
            raise UserError(
                f"{name} has choices {brief(repr(choices))}; give a list of at least one."
            )
        if isinstance(replaces, RangeAbove):
            raise UserError(f"{name} starts at {replaces.other}; give a range, no choices.")
        return Choice(tuple(map(number_or_text, choices)))
    low, high = (number_or_text(spec.get(end)) for end in ("low", "high"))
    log = spec.get("log", False)
    if not is_number(low) or not is_number(high) or not isinstance(log, bool):
        raise UserError(
            f"{name} has low {low!r}, high {high!r} and log {log!r}; write a number, a larger "
            "number, and true or false."
        )
    if not low < high:
        raise UserError(f"{name} goes from {low} to {high}; write a smaller number first.")
    if log and not low > 0:
        raise UserError(f"{name} is logarithmic from {low}; let it start above 0, or drop log.")
    if isinstance(replaces, RangeAbove):
        if log:
            raise UserError(f"{name} starts at {replaces.other}; drop log.")
        return RangeAbove(low=low, high=high, other=replaces.other)
    return Range(low=low, high=high, log=log, integer=integer)


def number_or_text(value: Any) -> Any:
    """The number that a text stands for, if any: to YAML, `1e-4` is text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _written_out(spec: list[Any], replaces: Domain | None, numeric: bool) -> dict[str, Any]:
    """Two numbers are a range, on the scale of the range that it replaces; else choices."""
    if not numeric or len(spec) != 2 or not all(map(is_number, spec)):
        return {"choices": spec}
    log = isinstance(replaces, Range) and replaces.log and spec[0] > 0
    return {"low": spec[0], "high": spec[1], "log": log}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite number that a float can hold."""
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and abs(value) <= float_info.max
