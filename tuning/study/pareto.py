"""Which of several trials are best in several objectives at once, where lower is better in each.

One dominates another if it is nowhere worse and somewhere better. Those that none dominates are
the Pareto set.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tuning.study.objectives import Losses

BEYOND = 0.1
"""How far the reference point of a hypervolume lies behind the worst, in parts of the range."""
FloatArray = NDArray[np.float64]
Bools = NDArray[np.bool_]


def pareto_set(losses: FloatArray) -> list[int]:
    """The rows of (n, k) that no other dominates, in their order; of equal ones all."""
    return np.flatnonzero(~_beats(losses[:, None], losses).any(0)).tolist()


def best_first(courses: Sequence[Mapping[int, Losses]]) -> list[int]:
    """The places of trials in `courses`, best first: front by front, spread within a front.

    Two are compared where both were measured, at the last epoch that both reached; one that lacks
    this epoch is neither better nor worse. A front are those whom the fewest of the rest dominate:
    none, where all were measured at one epoch (non-dominated sorting; Deb et al. 2002, NSGA-II).
    Within it comes first who is best in the first objective, and then always who is farthest from
    those before (an ε-net by Clarkson's greedy permutation, as in MO-ASHA; Schmucker et al. 2021,
    arXiv:2106.12639). Distances are Euclidean, each objective in parts of its range at the epoch.
    Of equal ones the one that is given first comes before the other.

    Args:
        courses: losses by 1-based epoch, of one epoch at least. All infinite is worse than all.
    """
    if not courses:
        return []
    lasts = np.array([max(course) for course in courses])
    width = len(next(iter(courses[0].values())))
    values = np.full((len(courses), lasts.max(), width), np.nan)
    for row, course in enumerate(courses):
        values[row, [epoch - 1 for epoch in course]] = list(course.values())
    common, rows = np.minimum(lasts[:, None], lasts) - 1, np.arange(len(courses))
    own, other = values[rows[:, None], common], values[rows, common]
    beats, apart = _beats(own, other), _apart(own, other, _ranges(values)[common])
    ahead = (own[..., 0] < other[..., 0]).sum(1)
    left, order = rows, list[int]()
    dominators = beats.sum(0)
    while len(left):
        front = left[dominators[left] == dominators[left].min()]
        order += _spread(front, apart, ahead)
        dominators = dominators - beats[front].sum(0)
        left = np.setdiff1d(left, front)
    return order


def hypervolume(losses: FloatArray, reference: FloatArray) -> float:
    """The volume that rows of (n, k) dominate and that lies within the `reference` point, (k,).

    Exact, slice by slice along the last objective: some dozens of points, a few objectives.
    """
    losses = losses[(losses < reference).all(1)]
    if not len(losses):
        return 0.0
    if losses.shape[1] == 1:
        return float(reference[0] - losses.min())
    losses = losses[pareto_set(losses)]
    losses = losses[losses[:, -1].argsort(kind="stable")]
    depths = np.diff(np.append(losses[:, -1], reference[-1]))
    return sum(
        float(depth) * hypervolume(losses[: count + 1, :-1], reference[:-1])
        for count, depth in enumerate(depths)
        if depth > 0
    )


def covered(losses: FloatArray, best: FloatArray, worst: FloatArray) -> float:
    """The part that rows of (n, k) dominate of the box from `best` to the reference point, 0 … 1.

    That lies `BEYOND` of each range behind `worst`, so that whoever is the best in one objective
    counts though it be the worst in another. Objectives without a range are left out.
    """
    differ = worst > best
    unit = (losses - best)[:, differ] / (worst - best)[differ]
    reference = np.full(int(differ.sum()), 1 + BEYOND)
    return hypervolume(unit, reference) / float(reference.prod()) if len(reference) else 0.0


def _beats(own: FloatArray, other: FloatArray) -> Bools:
    """Who dominates whom, over the last dimension."""
    beats: Bools = np.logical_and((own <= other).all(-1), (own < other).any(-1))
    return beats


def _ranges(values: FloatArray) -> FloatArray:
    """Of (trials, epochs, k) the range of each objective at each epoch; 1 where there is none."""
    known = np.isfinite(values)
    highest = np.where(known, values, -np.inf).max(0)
    lowest = np.where(known, values, np.inf).min(0)
    ranges: FloatArray = np.where(highest > lowest, highest - lowest, 1.0)
    return ranges


def _apart(own: FloatArray, other: FloatArray, ranges: FloatArray) -> FloatArray:
    """How far each is from each; nothing in what was not measured of either."""
    with np.errstate(invalid="ignore"):
        parts = np.nan_to_num((own - other) / ranges, nan=0.0, posinf=1.0, neginf=-1.0)
    apart: FloatArray = np.sqrt((parts**2).sum(-1))
    return apart


def _spread(front: NDArray[np.int64], apart: FloatArray, ahead: NDArray[np.int64]) -> list[int]:
    """A front, farthest first, from the one that is ahead of most in the first objective."""
    found = [int(front[ahead[front].argmax()])]
    away = apart[found[0], front]
    away[front == found[0]] = -1.0
    while len(found) < len(front):
        found.append(int(front[away.argmax()]))
        away = np.minimum(away, apart[found[-1], front])
        away[front == found[-1]] = -1.0
    return found
