"""Searches that begin from what searches of related cells found, beside ones that begin cold.

Two other cells are generated, whose best place is that of the new one shifted by N(0, σ) in every
range of the unit cube, within [0.08, 0.92]; the shape of what is lost around it is the new one's,
while the course of the curves, the level and all noise are their own. σ = ∞ is a landscape of its
own, whose best place lies about the paper's default as the new one's does, and nothing else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kd.config import TrainConfig
from tuning.replaying.generated import Generated
from tuning.replaying.simulate import Course, simulate
from tuning.replaying.stepwise import OverBowl
from tuning.replaying.strategy import Plan
from tuning.study.proposals import Proposal, first_trials, values_of
from tuning.study.trials import best_trial
from tuning.study.warm import Told, WarmStart

CELLS = 2
"""Other cells that were searched before."""
APART = 1_000_000
"""So far apart are the seeds of the new cell and of the others."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The same search twice: from the paper's default alone, and warm."""

    seed: int
    cold: Course
    warm: Course

    @property
    def difference(self) -> float:
        """Points of regret that the warm one lacks more at its end than the cold one."""
        return self.warm.last.regret - self.cold.last.regret

    @property
    def epochs(self) -> tuple[int, int]:
        """What the cold and the warm one spent until the regret that the cold one ends with.

        A warm one that never came there counts with all that it spent.
        """
        level = self.cold.last.regret
        cold, warm = (one.epochs_until(level) for one in (self.cold, self.warm))
        assert cold is not None
        return cold, self.warm.epochs if warm is None else warm


def related(new: Generated, seed: int, sigma: float) -> Generated:
    """Another cell whose best place is `sigma` from that of `new`; its own noise is by `seed`.

    Of the kinds that have a known best place: `distillation`, `cosine` and `flat`.
    """
    other = Generated(new.name, seed, new.epochs)
    own, its = new.landscape, other.landscape
    if not math.isfinite(sigma):
        return other
    assert isinstance(own, OverBowl)
    assert isinstance(its, OverBowl)
    shift = np.random.default_rng((seed, new.seed)).normal(0, sigma, len(new.cube))
    moved = np.clip(own.bowl.best + shift, 0.08, 0.92)
    best = own.bowl.best if not sigma else np.where(new.cube.is_choice, own.bowl.best, moved)
    other.landscape = replace(its, bowl=replace(own.bowl, best=best))
    return other


def beside(kind: str, epochs: int, plan: Plan, sigma: float, seed: int) -> Beside:
    """A cold search of the cell of `seed`, and one that begins from `CELLS` others' best."""
    new = Generated(kind, seed, epochs)
    proposals = []
    for cell in range(1, CELLS + 1):
        other = seed + cell * APART
        found = simulate(related(new, other, sigma), plan, other)
        if best := best_trial(list(found.records)):
            config = TrainConfig.from_dict(best.config)
            name = f"cell {cell}"
            proposals.append(Proposal(config=config, cell=name, source=name, about=name))
    first = first_trials(new.space, new.base, proposals, plan.planned(epochs))
    return _twice(new, plan, WarmStart(first=first), seed)


def again(kind: str, epochs: int, plan: Plan, seed: int) -> Beside:
    """A cold search of the cell of `seed`, and one that is told of an earlier search of it."""
    new, earlier = Generated(kind, seed, epochs), seed + APART
    trained = replace(new.base, seed=1)
    told: list[Told] = []
    found = simulate(new, plan, earlier)
    for record in found.records:
        config = TrainConfig.from_dict(record.config)
        if record.curve and (values := values_of(new.space, new.base, config)):
            told.append(
                Told(sweep="earlier", trial=record.number, values=values, curve=record.curve)
            )
    proposals: Sequence[Proposal] = ()
    if best := best_trial(list(found.records)):
        config = TrainConfig.from_dict(best.config)
        proposals = [Proposal(config=config, cell="own", source="earlier", about="earlier")]
    first = first_trials(new.space, trained, proposals, plan.planned(epochs))
    return _twice(new, plan, WarmStart(first=first, told=tuple(told)), seed)


def _twice(new: Generated, plan: Plan, warm: WarmStart, seed: int) -> Beside:
    cold = simulate(new, plan, seed).course
    return Beside(seed=seed, cold=cold, warm=simulate(new, plan, seed, warm).course)
