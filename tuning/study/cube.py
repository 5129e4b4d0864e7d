"""A configuration's place in its space: the unit cube."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kd.config import TrainConfig
from search_spaces import Choice, Range, RangeAbove, Space

FloatArray = NDArray[np.float64]


class Cube:
    """The unit cube of a space: one coordinate in [0, 1] for each hyperparameter that is drawn.

    A range by the way from its low end (of a logarithmic one, in the logarithm), a `RangeAbove`
    by its share of the way, a choice of k values by its place among them, over k − 1.
    """

    def __init__(self, space: Space) -> None:
        self._domains = dict(space.domains)
        self.is_choice = np.array([isinstance(d, Choice) for d in self._domains.values()])
        self._counts = [len(d.values) for d in self._domains.values() if isinstance(d, Choice)]

    def __len__(self) -> int:
        return len(self._domains)

    def point(self, config: TrainConfig) -> FloatArray:
        """The place of `config`, shape (d,); a value outside of a range counts as its nearest.

        A value that is none of the choices is at −1, apart from all of them.
        """
        return self.point_of(config.flat())

    def point_of(self, flat: Mapping[str, Any]) -> FloatArray:
        """The place of what `TrainConfig.flat` gives, or of a part with all that may vary."""
        return np.array([_place(flat, name, domain) for name, domain in self._domains.items()])

    def draw(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Places as random search would draw them, shape (count, d)."""
        points = rng.random((count, len(self)))
        for column, values in zip(np.flatnonzero(self.is_choice), self._counts, strict=True):
            points[:, column] = rng.integers(values, size=count) / max(values - 1, 1)
        return points


def _place(flat: Mapping[str, Any], name: str, domain: Range | RangeAbove | Choice) -> float:
    value = flat.get(name)
    if isinstance(domain, Choice):
        among = domain.values.index(value) if value in domain.values else -1
        return among / max(len(domain.values) - 1, 1)
    value = domain.nearest(value)
    low, high = float(domain.low), float(domain.high)
    if isinstance(domain, RangeAbove):
        low = domain.start(flat)
        value = max(value, low)
    elif domain.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low) if high > low else 0.0
