"""From a method, a backbone and what a person typed to a search space."""

import importlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from itertools import combinations, product
from typing import Any, NamedTuple, cast

import yaml

from kd.backbones import backbone_spec
from kd.config import TrainConfig, read_yaml
from kd.errors import UserError, brief
from kd.methods import is_added, method_module
from kd.plugins import METHODS, said, wrong
from search_spaces._conditions import read_conditions, settled
from search_spaces._domains import Choice, Domain, Range, RangeAbove, is_number, number_or_text
from search_spaces._names import resolve
from search_spaces._reading import read_domain
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
    own = own_space(method, backbone, optimizer=optimizer)
    paper, _, domains = own
    values = read_fixed(fixed or {}, own, backbone)
    if values.get("optimizer.name") == "adamw":
        _check_adamw({*values, *(ranges or {})}, searched=optimizer)
    usual = _space(domains, values)
    usual.apply(paper, usual.default_values(paper), "--set")
    if not ranges:
        return usual

    try:
        read = _read_ranges(ranges, own)
        asked = {name for name, spec in read.specs.items() if _has_condition(spec)}
        space = _space(domains | read.domains, values, asked)
        for corner in _corners(space):
            if (reached := space.reaching(corner)) is not None:
                space.apply(paper, space.default_values(paper, reached), where)
    except UserError as error:
        message = str(error)
        raise UserError(message if message.startswith(where) else f"{where}: {message}") from None
    return space


class OwnSpace(NamedTuple):
    """What a method's own file says may vary, and what else a person may name.

    `paper` is the configuration whose fields they are, `settable` the names that may be fixed or
    searched, and `domains` what is searched where nobody says otherwise.
    """

    paper: TrainConfig
    settable: list[str]
    domains: dict[str, Domain]

    def resolve(self, typed: str) -> str:
        """The dotted name that `typed` means, as of `search_spaces._names.resolve`."""
        return resolve(typed, self.domains, self.settable)

    def leaves(self, typed: str) -> list[str]:
        """The dotted names that `typed` means: of a whole tuple, each element's."""
        name = self.resolve(typed)
        return [leaf for leaf in self.paper.flat() if within(leaf, name)]

    def lacking(self, name: str, value: Any) -> list[int]:
        """An example of what `name` needs where `value` is none; else empty.

        A list that is searched needs one value for each of its elements.
        """
        needed = sum(within(other, name) for other in self.domains if other != name)
        return [] if isinstance(value, list) and len(value) == needed else [1] * needed


def own_space(method: str, backbone: str, *, optimizer: bool) -> OwnSpace:
    """The space of `method` on `backbone`; with `optimizer`, of the learning rate too."""
    paper = TrainConfig.from_dict(TrainConfig.paper(method, backbone, "cifar100").to_dict())
    domains = _domains(method, backbone_spec(backbone).stages)
    return OwnSpace(paper, _settable(paper), domains | (OPTIMIZER if optimizer else {}))


def _domains(method: str, stages: int) -> dict[str, Domain]:
    """What the file of the method says; UserError where that of a package does not say it."""
    if not is_added(method):
        own: dict[str, Domain] = importlib.import_module(f"search_spaces.{method}").domains(stages)
        return own
    space = method_module(method, "space")
    found = said(METHODS, method, lambda: dict(space.domains(stages)))
    for name, domain in found.items():
        if not isinstance(domain, Domain):
            raise wrong(METHODS, method, f"has a space in which {name} is {brief(repr(domain))}")
    return cast(dict[str, Domain], found)


def read_fixed(fixed: Mapping[str, str], own: OwnSpace, backbone: str) -> dict[str, Any]:
    """The values that --set gives, by dotted names; UserError for a name, or one given twice."""
    values: dict[str, Any] = {}
    for typed, text in fixed.items():
        name = own.resolve(typed)
        if overlaps(name, values):
            raise UserError(f"--set gives {name} twice; give it once.")
        values[name] = _read_value(text)
        if example := own.lacking(name, values[name]):
            raise UserError(
                f"{name} needs {len(example)} values on {backbone}: --set '{name}={example}'."
            )
    return values


def _corners(space: Space) -> Iterator[dict[str, Any]]:
    """Values that differ from the default, of which one set is refused if any draw is.

    A configuration refuses a value, or two that do not fit (momentum and nesterov, milestones
    that fall), or numbers that are all 0 (λ_b). Some cannot be drawn together.
    """
    domains = dict(space.parameters())
    yield {}
    for name, domain in domains.items():
        yield from ({name: end} for end in domain.corners())
    ends = [[(name, end) for end in domain.corners()[:PAIRED]] for name, domain in domains.items()]
    for some in combinations(ends, 2):
        yield from map(dict, product(*some))
    lowest: dict[str, Any] = {}
    for name, domain in domains.items():
        if all(map(is_number, domain.corners())):
            lower = lowest | {name: min(domain.corners())}
            lowest = lower if space.reaching(lower) is not None else lowest
    yield lowest


def _settable(config: TrainConfig) -> list[str]:
    """The dotted names that a person may fix or search: fields, and elements of tuples."""
    sections = {name: getattr(config, name) for name in ("kd", "optimizer", "augment")}
    names = [f"{section}.{f.name}" for section, part in sections.items() for f in fields(part)]
    elements = [n for n in config.flat() if n.count(".") == 2 and n.split(".")[0] in sections]
    return [*names, *elements, "batch_size", "precision", "history"]


def _check_adamw(given: set[str], *, searched: bool) -> None:
    """Refuse AdamW with the learning rate or the range of a recipe that is SGD's."""
    if searched or not any(within(name, "optimizer.lr") for name in given):
        raise UserError(
            "optimizer.name is adamw, and the learning rate and its range are SGD's; give "
            "--set optimizer.lr=0.001, or a range in --space FILE, and leave --search-optimizer "
            "away."
        )


def within(name: str, whole: str) -> bool:
    """Whether `name` is `whole`, or an element of it."""
    return name == whole or name.startswith(whole + ".")


def overlaps(name: str, names: Collection[str]) -> bool:
    """Whether one of `names` is `name`, an element of it, or what it is an element of."""
    return any(within(name, other) or within(other, name) for other in names)


def _read_value(text: str) -> Any:
    try:
        return number_or_text(read_yaml(text))
    except yaml.YAMLError:
        return text


class _Read(NamedTuple):
    """The domains that a file gives, and what it says of each."""

    domains: dict[str, Domain]
    specs: dict[str, Any]


def _read_ranges(ranges: Mapping[str, Any], own: OwnSpace) -> _Read:
    """The domain of every name in `ranges`; of each element where it names a whole tuple."""
    specs: dict[str, Any] = {}
    for typed, spec in ranges.items():
        found = own.leaves(str(typed))
        if twice := specs.keys() & found:
            raise UserError(f"{min(twice)} is there twice; keep one.")
        specs |= dict.fromkeys(found, spec)
    flat, domains = own.paper.flat(), {}
    floors = {domain.other for domain in own.domains.values() if isinstance(domain, RangeAbove)}
    for name, spec in specs.items():
        domain = read_domain(
            name,
            spec,
            replaces=own.domains.get(name),
            numeric=is_number(flat[name]),
            integer=isinstance(flat[name], int) and not isinstance(flat[name], bool),
            floor=name in floors,
        )
        if _has_condition(spec):
            # What this file searches goes before what may only be set.
            known = partial(resolve, searched={**own.domains, **specs}, settable=own.settable)
            when = read_conditions(name, spec["when"], known)
            domain = replace(domain, when=when)
        domains[name] = domain
    return _Read(domains, specs)


def _has_condition(spec: Any) -> bool:
    return isinstance(spec, dict) and "when" in spec


def _space(
    domains: Mapping[str, Domain], fixed: Mapping[str, Any], asked: Collection[str] = ()
) -> Space:
    """The space of what is not fixed, cut so that no draw breaks a `RangeAbove`.

    A person `asked` for the conditions of some.
    """
    free = {n: d for n, d in domains.items() if not any(within(n, name) for name in fixed)}
    for name, domain in domains.items():
        if isinstance(domain, RangeAbove):
            _keep_above(name, domain, free, fixed)
    free = settled(free, fixed, asked)
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
        free[above.other] = other.until(ceiling)
    elif name in free:
        free[name] = Range(low=max(above.low, floor), high=above.high, when=above.when)
