"""Hyperparameters that are searched only where others have certain values.

A condition holds where the other hyperparameter is searched itself and has one of the values; so
nothing that hangs on what is not searched is searched.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kd.errors import UserError, brief, unknown
from search_spaces._domains import Choice, Conditions, Domain, number_or_text, written


def searched(domains: Mapping[str, Domain], name: str, values: Mapping[str, Any]) -> bool:
    """Whether `name` is searched where hyperparameters have these `values`."""
    domain = domains.get(name)
    return domain is None or all(
        has(allowed, values.get(other)) and searched(domains, other, values)
        for other, allowed in domain.when.items()
    )


def ways(domains: Mapping[str, Domain], given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """`given` with the values of others under which all that it names are searched."""
    pending = [condition for name in given for condition in domains[name].when.items()]
    yield from _ways(domains, pending, dict(given))


def _ways(
    domains: Mapping[str, Domain],
    pending: Sequence[tuple[str, tuple[Any, ...]]],
    given: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    if not pending:
        yield given
        return
    (other, allowed), *rest = pending
    if other in given:
        if has(allowed, given[other]):
            yield from _ways(domains, rest, given)
        return
    for value in allowed:
        above = domains[other].when.items()
        yield from _ways(domains, [*rest, *above], {**given, other: value})


def has(values: Collection[Any], value: Any) -> bool:
    """Whether `value` is one of them; true is not 1."""
    return any(v == value and isinstance(v, bool) == isinstance(value, bool) for v in values)


def in_words(when: Conditions) -> str:
    """`kd.alpha_schedule is linear and kd.beta is 1 or 2`."""
    return " and ".join(
        f"{other} is {' or '.join(map(written, allowed))}" for other, allowed in when.items()
    )


# -- read from a file ---------------------------------------------------------------------------


def read_conditions(name: str, when: Any, resolve: Callable[[str], str]) -> Conditions:
    """What a file says under `when`: names of others, and a value or a list of values for each.

    Raises `UserError` for what is no such mapping, and for a name that `resolve` does not know.
    """
    if not isinstance(when, dict):
        raise UserError(
            f"{name} has when {brief(repr(when))}; name a hyperparameter and its value: "
            "when: {NAME: VALUE}."
        )
    conditions = {}
    for typed, value in when.items():
        other = resolve(str(typed))
        values = tuple(map(number_or_text, value if isinstance(value, list) else [value]))
        if not values or any(v is None or isinstance(v, dict | list) for v in values):
            raise UserError(
                f"{name} is searched only where {other} is {brief(repr(value))}; give a value, or "
                "a list of values."
            )
        if other in conditions:
            raise UserError(f"The condition of {name} names {other} twice; keep one.")
        conditions[other] = values
    return conditions


# -- made sound ---------------------------------------------------------------------------------


def settled(
    domains: Mapping[str, Domain], fixed: Mapping[str, Any], asked: Collection[str]
) -> dict[str, Domain]:
    """`domains`, each behind those that its conditions look at, and all conditions decidable.

    A method's own condition on what is `fixed` is decided for good: its domain is searched
    always, or not at all; so where a file leaves no choice under which it would hold. Raises
    `UserError` where a person `asked` for such a condition, for one on a range or on what is not
    searched, and for a circle.
    """
    left: dict[str, Domain] = {}
    for name in _ordered(domains):
        when = _decided(name, domains[name].when, left, fixed, asked)
        if when is None:
            continue
        left[name] = replace(domains[name], when=when)
        if next(ways(left, {name: None}), None) is None:
            if name in asked:
                raise UserError(
                    f"{name} is searched only where {in_words(when)}, which is never so at once; "
                    "leave one of them away."
                )
            del left[name]
    return left


def _decided(
    name: str,
    when: Conditions,
    left: Mapping[str, Domain],
    fixed: Mapping[str, Any],
    asked: Collection[str],
) -> dict[str, tuple[Any, ...]] | None:
    """The conditions that are still open; None where one can never hold."""
    still: dict[str, tuple[Any, ...]] = {}
    for other, allowed in when.items():
        only = f"{name} is searched only where {in_words({other: allowed})}"
        if (held := _held(other, fixed)) is not None:
            if name in asked:
                raise UserError(
                    f"{only}, but --set fixes {other} at {brief(written(*held))}; leave the "
                    "condition or that --set away."
                )
            if not has(allowed, *held):
                return None
            continue
        domain = left.get(other)
        if domain is None:
            if name in asked:
                raise UserError(f"{only}, but {other} is not searched; give it choices too.")
            return None
        if not isinstance(domain, Choice):
            raise UserError(
                f"{only}, but {other} is searched in a range; give it choices, or leave the "
                "condition away."
            )
        possible = tuple(value for value in allowed if has(domain.values, value))
        if name in asked and len(possible) < len(allowed):
            strange = next(value for value in allowed if not has(domain.values, value))
            choices = map(written, domain.values)
            raise UserError(f"{only}: {unknown(f'choice of {other}', written(strange), choices)}")
        if not possible:
            return None
        still[other] = possible
    return still


def _held(leaf: str, fixed: Mapping[str, Any]) -> tuple[Any] | None:
    """The value that `fixed` gives `leaf`, by itself or in a whole tuple; None if it gives none."""
    for name, value in fixed.items():
        if leaf == name:
            return (value,)
        place = leaf.removeprefix(f"{name}.")
        if place.isdigit() and isinstance(value, list) and int(place) < len(value):
            return (value[int(place)],)
    return None


def _ordered(domains: Mapping[str, Domain]) -> list[str]:
    """The names in their order, but each behind those that its conditions look at."""
    done: dict[str, None] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " → ".join([*path[path.index(name) :], name])
            raise UserError(
                f"{path[-1]} is searched only where {name} has a certain value, which goes in a "
                f"circle ({circle}); leave that condition away."
            )
        if name in domains and name not in done:
            for other in domains[name].when:
                visit(other, (*path, name))
            done[name] = None

    for name in domains:
        visit(name, ())
    return list(done)
