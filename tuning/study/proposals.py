"""Which configurations of other searches a new one tries first.

Scores of two cells do not compare, so none is compared. Each cell proposes what it found best, and

1. what the new search's own cell proposes comes first: it was best there under another protocol or
   another seed;
2. then what was confirmed, before the best of single runs;
3. then what more cells propose alike: the number of cells with a proposal at most `NEAR` away;
4. then what comes from the same data set or the same backbone;
5. then what came first in the order that they are given in.

Of proposals that are at most `NEAR` apart the first one alone is tried, and of a cell one alone.
Distances are root mean squares over the coordinates of the space's unit cube.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import Choice, Space
from tuning.study.cube import Cube, FloatArray
from tuning.study.warm import First

MOST = 4
"""Of the first trials at most so many come from elsewhere."""
PART = 8
"""One trial in so many does; where there are fewer, one."""
NEAR = 0.1


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What another search found best: its configuration, and whether new seeds confirmed it.

    `cell` tells whose best it is; `source` and `about` are those of `First`.
    """

    config: TrainConfig
    cell: str
    source: str
    about: str
    confirmed: bool = False


def room(trials: int | None) -> int:
    """How many of a search's trials come from elsewhere at most, None if it is open."""
    if trials is None:
        return MOST
    return min(MOST, max(1, trials // PART), trials - 1)


def first_trials(
    space: Space,
    base: TrainConfig,
    proposals: Iterable[Proposal],
    trials: int | None,
    known: Sequence[TrainConfig] = (),
) -> tuple[First, ...]:
    """The first of a search's `trials` after the default, `base`, in the order to try them.

    What one of `known` is, or the default, is not tried: it would be the same training again.
    """
    cube, placed = Cube(space), []
    same = [space.apply(base, space.default_values(base)), *known]
    for proposal in proposals:
        values = values_of(space, base, proposal.config)
        if values is None:
            continue
        config = space.apply(base, values)
        if not any(config.trains_as(other) for other in same):
            placed.append((proposal, values, cube.point(config)))
    alike = [
        len({other.cell for other, _, place in placed if _apart(own, place) <= NEAR})
        for _, _, own in placed
    ]

    def order(number: int) -> tuple[bool, bool, int, bool]:
        own = placed[number][0]
        images, network = _shared(own.config, base)
        return not (images and network), not own.confirmed, -alike[number], not (images or network)

    taken: list[tuple[str, FloatArray]] = []
    first: list[First] = []
    for number in sorted(range(len(placed)), key=order):
        proposal, values, place = placed[number]
        new = all(proposal.cell != cell and _apart(place, at) > NEAR for cell, at in taken)
        if new and len(first) < room(trials):
            taken.append((proposal.cell, place))
            first.append(First(values=values, source=proposal.source, about=proposal.about))
    return tuple(first)


def values_of(space: Space, base: TrainConfig, config: TrainConfig) -> dict[str, Any] | None:
    """The values with which `space` holds what varies of `config`, or the nearest that it has.

    What `config` knows nothing of is as in `base`: another backbone may have fewer stages. None
    where it has a choice that the space lacks, or what cannot be together.
    """
    known = {name: value for name, value in config.flat().items() if name in space.domains}
    try:
        values = space.nearest_values(base.flat() | known)
        values = space.draw(lambda name, _: values[name])
        space.apply(base, values)
    except (UserError, TypeError, ValueError):
        return None
    for name, value in known.items():
        domain = space.domains[name]
        if isinstance(domain, Choice) and name in values and value not in domain.values:
            return None
    return values


def _shared(config: TrainConfig, base: TrainConfig) -> tuple[bool, bool]:
    """Whether both are of one data set, and of one backbone."""
    images = config.portable.dataset == base.portable.dataset
    return images, config.backbone == base.backbone


def _apart(one: FloatArray, other: FloatArray) -> float:
    return float(np.sqrt(np.mean((one - other) ** 2)))
