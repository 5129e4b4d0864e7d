"""From a method, a backbone and what a person typed to a search space."""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from itertools import combinations, product
from typing import Any

import yaml

from kd.backbones import backbone_spec
from kd.config import TrainConfig, read_yaml
from kd.errors import UserError
from search_spaces._domains import (
    Choice,
    Domain,
    Range,
    RangeAbove,
    is_number,
    number_or_text,
    read_domain,
)
from search_spaces._names import resolve
from search_spaces._space import Space
from search_spaces.shared import OPTIMIZER

PAIRED = 8
"""Of so many choices of a hyperparameter it is tried whether they fit those of another one."""


def load_space(
    method: str,
    backbone: str,
    *,
    optimizer: bool = False,
    fixed: Mapping[str, str] | None = None,
    ranges: Mapping[str, Any] | None = None,
    where: str = "the ranges",
) -> Space:
    """The search space of `method` on `backbone`.

    `optimizer` adds the learning rate and the weight decay. `fixed` gives values, as typed, to
    hyperparameters or any other field of kd, optimizer and augment, batch_size, precision or
    history. `ranges`, read from the file named `where`, replaces or adds domains; see
    `read_domain`.
    Raises `UserError` for a name, a value or a range that makes no sense.
    """
    paper = TrainConfig.from_dict(TrainConfig.paper(method, backbone, "cifar100").to_dict())
    settable = _settable(paper)
    domains: dict[str, Domain] = importlib.import_module(f"search_spaces.{method}").domains(
        backbone_spec(backbone).stages
    )
    if optimizer:
        domains |= OPTIMIZER

    values: dict[str, Any] = {}
    for typed, text in (fixed or {}).items():
        name = resolve(typed, domains, settable)
        if any(_within(name, other) or _within(other, name) for other in values):
            raise UserError(f"--set gives {name} twice; give it once.")
        values[name] = _read_value(text)
        _check_length(name, values[name], domains, backbone)
    if values.get("optimizer.name") == "adamw":
        _check_adamw({*values, *(ranges or {})}, searched=optimizer)
    usual = _space(domains, values)
    usual.apply(paper, usual.default_values(paper), "--set")
    if not ranges:
        return usual

    try:
        given: set[str] = set()
        for typed, spec in ranges.items():
            read = _read_range(resolve(str(typed), domains, settable), spec, domains, paper)
            if twice := given & read.keys():
                raise UserError(f"{min(twice)} is there twice; keep one.")
            given |= read.keys()
            domains |= read
        space = _space(domains, values)
        defaults = space.default_values(paper)
        for corner in _corners(space):
            space.apply(paper, {**defaults, **corner}, where)
    except UserError as error:
        message = str(error)
        raise UserError(message if message.startswith(where) else f"{where}: {message}") from None
    return space


def _corners(space: Space) -> Iterator[dict[str, Any]]:
    """Values that differ from the default, of which one set is refused if any draw is.

    A configuration refuses a value, or two that do not fit (momentum and nesterov, milestones
    that fall), or numbers that are all 0 (λ_b).
    """
    domains = dict(space.parameters())
    for name, domain in domains.items():
        yield from ({name: end} for end in domain.corners())
    ends = [[(name, end) for end in domain.corners()[:PAIRED]] for name, domain in domains.items()]
    for some in combinations(ends, 2):
        yield from map(dict, product(*some))
    corners = {name: domain.corners() for name, domain in domains.items()}
    yield {name: min(ends) for name, ends in corners.items() if all(map(is_number, ends))}


def _settable(config: TrainConfig) -> list[str]:
    """The dotted names that a person may fix or search: fields, and elements of tuples."""
    sections = {name: getattr(config, name) for name in ("kd", "optimizer", "augment")}
    names = [f"{section}.{f.name}" for section, part in sections.items() for f in fields(part)]
    elements = [n for n in config.flat() if n.count(".") == 2 and n.split(".")[0] in sections]
    return [*names, *elements, "batch_size", "precision", "history"]


def _check_adamw(given: set[str], *, searched: bool) -> None:
    """Refuse AdamW with the learning rate or the range of a recipe that is SGD's."""
    if searched or not any(_within(name, "optimizer.lr") for name in given):
        raise UserError(
            "optimizer.name is adamw, and the learning rate and its range are SGD's; give "
            "--set optimizer.lr=0.001, or a range in --space FILE, and leave --search-optimizer "
            "away."
        )


def _within(name: str, whole: str) -> bool:
    return name == whole or name.startswith(whole + ".")


def _read_value(text: str) -> Any:
    try:
        return number_or_text(read_yaml(text))
    except yaml.YAMLError:
        return text


def _check_length(name: str, value: Any, domains: Mapping[str, Domain], backbone: str) -> None:
    """Refuse a list that does not have one value for each searched element of `name`."""
    needed = sum(_within(other, name) for other in domains if other != name)
    if needed and not (isinstance(value, list) and len(value) == needed):
        example = [1] * needed
        raise UserError(f"{name} needs {needed} values on {backbone}: --set '{name}={example}'.")


def _read_range(
    name: str, spec: Any, domains: Mapping[str, Domain], paper: TrainConfig
) -> dict[str, Domain]:
    """The domain of `name`; of each element where it names a whole tuple."""
    leaves = {leaf: value for leaf, value in paper.flat().items() if _within(leaf, name)}
    return {
        leaf: read_domain(
            leaf,
            spec,
            replaces=domains.get(leaf),
            numeric=is_number(value),
            integer=isinstance(value, int) and not isinstance(value, bool),
        )
        for leaf, value in leaves.items()
    }


def _space(domains: Mapping[str, Domain], fixed: Mapping[str, Any]) -> Space:
    """The space of what is not fixed, cut so that no draw breaks a `RangeAbove`."""
    free = {n: d for n, d in domains.items() if not any(_within(n, name) for name in fixed)}
    for name, domain in domains.items():
        if isinstance(domain, RangeAbove):
            _keep_above(name, domain, free, fixed)
    if not free:
        raise UserError("Every hyperparameter is fixed, so nothing is left to search; free one.")
    return Space(free, dict(fixed))


def _keep_above(
    name: str, above: RangeAbove, free: dict[str, Domain], fixed: Mapping[str, Any]
) -> None:
    """Cut the free ones of `name` and `above.other`: the second never exceeds the first."""
    other = free.get(above.other)
    if isinstance(other, Choice):
        raise UserError(f"{above.other} must be a range, as {name} starts at it.")
    floor = other.low if isinstance(other, Range) else fixed[above.other]
    ceiling = fixed.get(name, above.high)
    for end in (floor, ceiling):
        if not is_number(end):
            raise UserError(f"{name} and {above.other} must be numbers, but {end!r} is none.")
    if floor > ceiling:
        raise UserError(
            f"{name} reaches {ceiling:g} at most, but must not be below {above.other}, which is "
            f"at least {floor:g}; raise the first or lower the second."
        )
    if isinstance(other, Range):
        free[above.other] = replace(other, high=min(other.high, ceiling))
    elif name in free:
        free[name] = Range(low=max(above.low, floor), high=above.high)
