"""A search space: the hyperparameters that vary, and those that are fixed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kd.config import TrainConfig
from search_spaces._domains import Choice, Domain, Range, RangeAbove

SPAN = ".span"
"""Ends the name of the number in [0, 1] that is drawn for a `RangeAbove`."""


@dataclass(frozen=True)
class Space:
    """What may vary in a `TrainConfig`, by dotted names such as `kd.alpha`.

    A hyperparameter that must not fall below another one is drawn as its share of the way from
    there to its highest value, so that every draw is valid and none is thrown away. The
    configuration holds the value, not the share.
    """

    domains: Mapping[str, Domain]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self) -> Iterator[tuple[str, Range | Choice]]:
        """The names and domains that a sampler draws from."""
        for name, domain in self.domains.items():
            if isinstance(domain, RangeAbove):
                yield name + SPAN, Range(low=0.0, high=1.0)
            else:
                yield name, domain

    def apply(
        self, base: TrainConfig, values: Mapping[str, Any], where: str = "the configuration"
    ) -> TrainConfig:
        """`base` with the drawn `values`, named as by `parameters`, and the fixed ones.

        Raises `UserError`, naming `where`, for a value that the configuration refuses.
        """
        data = base.to_dict()
        for name in sorted(self.fixed):
            _put(data, name, self.fixed[name])
        for name, domain in self.domains.items():
            if isinstance(domain, RangeAbove):
                start = domain.start(values)
                value = start + (domain.high - start) * values[name + SPAN]
                # Twelve digits: the value that a paper prints comes back as printed.
                _put(data, name, max(float(f"{value:.12g}"), start))
            else:
                _put(data, name, values[name])
        return TrainConfig.from_dict(data, where)

    def default_values(self, base: TrainConfig) -> dict[str, Any]:
        """The values with which `apply` returns `base`, or the nearest that the space holds."""
        flat = base.flat()
        values = {name: domain.nearest(flat[name]) for name, domain in self.domains.items()}
        for name, domain in self.domains.items():
            if isinstance(domain, RangeAbove):
                start = domain.start(values)
                way = domain.high - start
                values[name + SPAN] = max(values.pop(name) - start, 0.0) / way if way else 0.0
        return values

    def extremes(self, base: TrainConfig) -> Iterator[TrainConfig]:
        """The default, and what differs from it in one hyperparameter, by each of its ends."""
        default = self.default_values(base)
        yield self.apply(base, default)
        for name, domain in self.parameters():
            for end in domain.corners():
                yield self.apply(base, default | {name: end})

    def clipped(self, base: TrainConfig) -> list[str]:
        """The names whose value in `base` lies outside the space."""
        flat = base.flat()
        return [n for n, domain in self.domains.items() if domain.nearest(flat[n]) != flat[n]]

    def describe(self) -> list[str]:
        """One line for each hyperparameter: its name, and what it may be or is."""
        varying = [f"{name}: {domain}" for name, domain in self.domains.items()]
        return [*varying, *(f"{name} = {value}" for name, value in self.fixed.items())]


def _put(data: Any, name: str, value: Any) -> None:
    *parents, last = (int(part) if part.isdigit() else part for part in name.split("."))
    for part in parents:
        data = data[part]
    data[last] = value
