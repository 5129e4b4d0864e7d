"""From what a file says about one hyperparameter to its domain."""

from dataclasses import replace
from math import sqrt
from typing import Any

from kd.errors import UserError, brief, unknown
from search_spaces._domains import (
    Choice,
    Domain,
    Range,
    RangeAbove,
    exact,
    is_number,
    number_or_text,
    written,
)

MOST_STEPS = 1_000_000
RANGE = ["low", "high", "log", "step"]


def read_domain(
    name: str,
    spec: Any,
    *,
    replaces: Domain | None,
    numeric: bool = True,
    integer: bool,
    floor: bool = False,
) -> Domain:
    """What a file says about `name`: {low, high, log, step}, {choices}, or a list of choices.

    What is not `numeric` has choices alone, and a `floor`, at which another range starts, has
    none. A range that replaces a `RangeAbove` stays above the same hyperparameter, and what
    replaces a conditional domain stays under its condition; a `when` by itself leaves the domain
    as it is. The `when` of a file is read by `read_conditions`. Raises `UserError` for a list of
    two numbers, and for a range that is upside down, not of numbers, or no range at all.
    """
    if isinstance(spec, list):
        choices = [number_or_text(value) for value in spec]
        if numeric and len(choices) == 2 and all(map(is_number, choices)):
            raise _ambiguous(name, choices, replaces, floor)
        spec = {"choices": choices}
    elif isinstance(spec, dict) and "when" in spec:
        spec = {key: value for key, value in spec.items() if key != "when"}
        if not spec and replaces is not None:
            return replaces
    if not numeric and isinstance(spec, dict) and "choices" not in spec:
        raise UserError(f"{name} is no number; give a list of choices.")
    if not isinstance(spec, dict) or not spec:
        alone = is_number(spec) or isinstance(spec, bool)
        fixed = f"; to fix it: --set {name}={written(spec)}" if alone else ""
        raise UserError(
            f"{name} is {brief(repr(spec))}; give a range such as {{low: 1, high: 8}}, or a list "
            f"of choices{fixed}."
        )
    known = ["choices"] if "choices" in spec else RANGE
    for key in spec:
        if key not in known:
            raise UserError(f"{name}: {unknown('key', key, {*known, 'choices', 'when'})}")
    domain = (
        _read_choice(name, spec["choices"], replaces)
        if "choices" in spec
        else _read_range(name, spec, replaces, integer)
    )
    return replace(domain, when=replaces.when) if replaces else domain


def _ambiguous(name: str, pair: list[Any], replaces: Domain | None, floor: bool) -> UserError:
    """The sentence for two numbers, with each of the forms that `name` may have."""
    low, high = sorted(pair)
    log = isinstance(replaces, Range) and replaces.log and low > 0
    scale = ", log: true" if log else ""
    forms = [f"{{low: {low}, high: {high}{scale}}}"] if low < high else []
    if not forms or not (floor or isinstance(replaces, RangeAbove)):
        forms.append(f"{{choices: [{', '.join(map(str, dict.fromkeys(pair)))}]}}")
    meant = "which may be a range or two choices" if len(forms) > 1 else "and a list is choices"
    return UserError(
        f"{name} is [{brief(pair[0])}, {brief(pair[1])}], {meant}; write "
        f"{brief(' or '.join(forms))}."
    )


def _read_choice(name: str, choices: Any, replaces: Domain | None) -> Choice:
    if not isinstance(choices, list) or not choices:
        raise UserError(f"{name} has choices {brief(repr(choices))}; give a list of at least one.")
    if isinstance(replaces, RangeAbove):
        raise UserError(f"{name} starts at {replaces.other}; give a range, no choices.")
    return Choice(tuple(map(number_or_text, choices)))


def _read_range(
    name: str, spec: dict[str, Any], replaces: Domain | None, integer: bool
) -> Range | RangeAbove:
    low, high = (number_or_text(spec.get(end)) for end in ("low", "high"))
    log, step = spec.get("log", False), number_or_text(spec.get("step"))
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
        for key in ("log", "step"):
            if spec.get(key):
                raise UserError(f"{name} starts at {replaces.other}; drop {key}.")
        return RangeAbove(low=low, high=high, other=replaces.other)
    if "step" in spec:
        if log:
            middle = round(sqrt(low * high), 0 if integer or step == 1 else 2)
            values = ", ".join(f"{value:g}" for value in dict.fromkeys((low, middle, high)))
            raise UserError(
                f"{name} has log and a step; drop one of them, or list the values: "
                f"{{choices: [{values}]}}."
            )
        _check_step(name, low, high, step, integer)
    return Range(low=low, high=high, log=log, integer=integer, step=step)


def _check_step(name: str, low: float, high: float, step: Any, integer: bool) -> None:
    """Refuse a step that is none, or that does not lead from `low` to `high`."""
    if not is_number(step) or not step > 0:
        raise UserError(f"{name} has step {brief(repr(step))}; write a number above 0.")
    if integer and step != int(step):
        raise UserError(f"{name} has step {step}; write a whole number, as {name} is one.")
    way = exact(high) - exact(low)
    steps = way // exact(step)
    if steps < 1:
        raise UserError(
            f"{name} has step {step}, which is more than from {low} to {high}; write a smaller one."
        )
    if steps > MOST_STEPS:
        raise UserError(
            f"{name} has more than {MOST_STEPS} steps from {low} to {high}; write a larger one, or "
            "none."
        )
    if steps * exact(step) != way:
        last = Range(low=low, high=high, step=step, integer=integer).nearest(high)
        raise UserError(
            f"{name} goes from {low} in steps of {step}, which do not meet {high}; write "
            f"high: {last}, or another step."
        )
