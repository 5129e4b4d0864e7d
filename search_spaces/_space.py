"""A search space: the hyperparameters that vary, and those that are fixed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces._conditions import in_words, searched, ways
from search_spaces._domains import Choice, Domain, Range, RangeAbove, written

SPAN = ".span"
"""Ends the name of the number in [0, 1] that is drawn for a `RangeAbove`."""


@dataclass(frozen=True)
class Space:
    """What may vary in a `TrainConfig`, by dotted names such as `kd.alpha`.

    A hyperparameter that must not fall below another one is drawn as its share of the way from
    there to its highest value, so that every draw is valid and none is thrown away. The
    configuration holds the value, not the share.

    One that is searched only under conditions stands behind those that they look at. Where they
    do not hold it is not drawn, and keeps its value of the configuration that is searched around.

    A space of `rows` holds them alone, beside the default: by their labels, in their order, the
    values in which each differs from it. None is that of an element that its list does not have.
    """

    domains: Mapping[str, Domain]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def parameters(self) -> Iterator[tuple[str, Range | Choice]]:
        """The names and domains that a sampler draws from, as far as their conditions hold."""
        for name, domain in self.domains.items():
            if isinstance(domain, RangeAbove):
                yield name + SPAN, Range(low=0.0, high=1.0, when=domain.when)
            else:
                yield name, domain

    def draw(self, pick: Callable[[str, Range | Choice], Any]) -> dict[str, Any]:
        """What `pick` returns for each of `parameters` whose conditions hold, in their order."""
        values: dict[str, Any] = {}
        for name, domain in self.parameters():
            if self._searched(name, values):
                values[name] = pick(name, domain)
        return values

    def grid(self, most: int) -> list[dict[str, Any]]:
        """All that `draw` may return, where it is no more than `most`.

        Raises `UserError` for more, and for a range without a step.
        """
        points: list[dict[str, Any]] = [{}]
        for name, domain in self.domains.items():
            if isinstance(domain, RangeAbove):
                raise UserError(
                    f"{name} starts at {domain.other}, so it has no values of its own for a grid; "
                    f"fix it: --set {name}=VALUE."
                )
            values = domain.members()
            if values is None:
                raise UserError(
                    f"{name} is searched in {domain} without a step, and a grid needs values; give "
                    "it a step or a list of choices in --space FILE, or fix it: "
                    f"--set {name}=VALUE."
                )
            free = [self._searched(name, point) for point in points]
            if sum(len(values) if one else 1 for one in free) > most:
                raise UserError(
                    f"The grid has more than {most} configurations; give larger steps in "
                    "--space FILE, or fix hyperparameters: --set NAME=VALUE."
                )
            points = [
                {**point, **given}
                for point, one in zip(points, free, strict=True)
                for given in ([{name: value} for value in values] if one else [{}])
            ]
        return points

    def apply(
        self, base: TrainConfig, values: Mapping[str, Any], where: str = "the configuration"
    ) -> TrainConfig:
        """`base` with the drawn `values`, named as by `parameters`, and the fixed ones.

        A value of what is not searched beside the others counts for nothing. Raises `UserError`,
        naming `where`, for a value that the configuration refuses.
        """
        data, flat = base.to_dict(), base.flat()
        for name in sorted(self.fixed):
            _put(data, name, self.fixed[name])
        drawn = {name: value for name, value in values.items() if self._searched(name, values)}
        for name, domain in self.domains.items():
            if not self._searched(name, values):
                continue
            if isinstance(domain, RangeAbove):
                start = self._start(domain, flat, drawn)
                value = start + (domain.high - start) * drawn[name + SPAN]
                # Twelve digits: the value that a paper prints comes back as printed.
                _put(data, name, max(float(f"{value:.12g}"), start))
            else:
                _put(data, name, drawn[name])
        return TrainConfig.from_dict(data, where)

    def default_values(
        self, base: TrainConfig, given: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The values with which `apply` returns `base`, or the nearest that the space holds.

        Those that are `given`, named as by `parameters`, are taken as they are. What is not
        searched beside the others has no value.
        """
        return self.nearest_values(base.flat(), given)

    def nearest_values(
        self, flat: Mapping[str, Any], given: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The same of what `TrainConfig.flat` gives, or of a part with all that may vary."""
        values = dict(given or {})
        for name, domain in self.domains.items():
            if isinstance(domain, RangeAbove) or name in values:
                continue
            if self._searched(name, values):
                values[name] = domain.nearest(flat.get(name))
        for name, domain in self.domains.items():
            if not isinstance(domain, RangeAbove) or name + SPAN in values:
                continue
            if self._searched(name, values):
                start = self._start(domain, flat, values)
                way = domain.high - start
                above = max(domain.nearest(flat[name]) - start, 0.0)
                values[name + SPAN] = above / way if way else 0.0
        return values

    def listed(self, base: TrainConfig) -> list[dict[str, Any]]:
        """The values of each of the rows, in their order."""
        return [self.default_values(base, row) for row in self.rows.values()]

    def label(self, number: int) -> str:
        """That of the row of trial `number`, where 0 is the default; "" for none."""
        return dict(enumerate(self.rows, 1)).get(number, "")

    def reaching(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """`given` with choices of others that let all of it be searched; None if none do."""
        return next(ways(dict(self.parameters()), given), None)

    def extremes(self, base: TrainConfig) -> Iterator[TrainConfig]:
        """The default, and what differs from it in one hyperparameter, by each of its ends.

        Of one that is searched under conditions, in what these need too. Of rows, each.
        """
        yield self.apply(base, self.default_values(base))
        yield from (self.apply(base, values) for values in self.listed(base))
        if self.rows:
            return
        for name, domain in self.parameters():
            for end in domain.corners():
                if (given := self.reaching({name: end})) is not None:
                    yield self.apply(base, self.default_values(base, given))

    def clipped(self, base: TrainConfig) -> list[str]:
        """The names whose value in `base` lies outside the space."""
        flat, values = base.flat(), self.default_values(base)
        return [
            name
            for name, domain in self.domains.items()
            if self._searched(name, values) and domain.nearest(flat.get(name)) != flat.get(name)
        ]

    def describe(self) -> list[str]:
        """One line for each hyperparameter, or row: its name, and what it may be or is."""
        lines = [f"{label}: {', '.join(_named(row))}" for label, row in self.rows.items()]
        for name, domain in self.domains.items() if not self.rows else ():
            only = f", only where {in_words(domain.when)}, else the paper's" if domain.when else ""
            lines.append(f"{name}: {domain}{only}")
        return [*lines, *_named(self.fixed)]

    # -- inside -------------------------------------------------------------------------------

    def _searched(self, name: str, values: Mapping[str, Any]) -> bool:
        return searched(self.domains, name.removesuffix(SPAN), values)

    def _start(
        self, domain: RangeAbove, flat: Mapping[str, Any], values: Mapping[str, Any]
    ) -> float:
        """Where the interval starts: the other may be one that is not searched now."""
        return domain.start(values if domain.other in values else flat)


def _named(values: Mapping[str, Any]) -> list[str]:
    said = {name: "–" if value is None else written(value) for name, value in values.items()}
    return [f"{name} = {value}" for name, value in said.items()]


def _put(data: Any, name: str, value: Any) -> None:
    *parents, last = (int(part) if part.isdigit() else part for part in name.split("."))
    for part in parents:
        data = data[part]
    if not isinstance(data, list):
        data[last] = value
    else:
        # None ends the list before its place; past the last element a value is one more.
        place = int(last)
        data[place:] = [] if value is None else [value, *data[place + 1 :]]
