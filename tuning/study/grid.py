"""Every configuration of a space that is no continuum, in the order in which it is tried."""

import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import Space

MOST = 100_000
"""Configurations of a grid at most; nobody trains more, and they are held in memory."""
Point = Mapping[str, Any]
"""What one configuration has, by names as of `Space.parameters`."""


def ordered(space: Space, base: TrainConfig, seed: int) -> list[Point]:
    """All combinations of values, the paper's default `base` first, the others shuffled by `seed`.

    Of a space of rows these alone, in their order. Where the default lies outside of the space the
    nearest point is first, as in any search. Raises `UserError` for a range without a step, and for
    more than `MOST` combinations.
    """
    first = space.default_values(base)
    if space.rows:
        return [first, *space.listed(base)]
    others = [point for point in space.grid(MOST) if point != first]
    random.Random(seed).shuffle(others)
    return [first, *others]


def countable(space: Space, base: TrainConfig, seed: int) -> list[Point]:
    """The same, and none of a space that is a continuum, varies nothing or has more than `MOST`."""
    with suppress(UserError):
        return ordered(space, base, seed) if space.domains else []
    return []
