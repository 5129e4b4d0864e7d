"""The Pareto set of a sweep, or of several over other backbones, and how it grew."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from tuning.records.result import SweepResult
from tuning.study.objectives import VAL_ACC, Objectives
from tuning.study.pareto import BEYOND, FloatArray, covered, pareto_set
from tuning.study.trials import TrialRecord


@dataclass(frozen=True)
class Member:
    """A completed trial of one of the sweeps, the one at the place `sweep`, and its `values`.

    One value an objective, in its unit, as the search saw it; NaN where it was not measured.
    `best` says whether it is of the Pareto set.
    """

    sweep: int
    trial: TrialRecord
    values: tuple[float, ...]
    best: bool = False


@dataclass(frozen=True)
class Volumes:
    """The hypervolume of the Pareto set after `epochs` that were spent on all trials.

    In parts of the box from `reference` to `best`, in the objectives' units: the best value of a
    completed trial in each, and a tenth of the range behind the worst one. A trial that is the best
    in all would make 1; an objective in which all are equal is left out.
    """

    epochs: tuple[float, ...]
    volumes: tuple[float, ...]
    reference: tuple[float, ...]
    best: tuple[float, ...]

    @property
    def last(self) -> float:
        """That of the end."""
        return self.volumes[-1]


def objectives_of(results: Sequence[SweepResult]) -> Objectives:
    """The objectives that all the sweeps have; val accuracy alone where they differ."""
    asked = {result.sweep.settings.objectives for result in results}
    return asked.pop() if len(asked) == 1 else (VAL_ACC,)


def alike(results: Sequence[SweepResult]) -> list[list[SweepResult]]:
    """Those of several objectives, by data set: sweeps that have a Pareto set together."""
    several = [r for r in results if len(r.sweep.settings.objectives) > 1]

    def about(result: SweepResult) -> tuple[str, ...]:
        names = [one.name for one in result.sweep.settings.objectives]
        return (result.sweep.settings.base.dataset, *names)

    return [list(group) for _, group in groupby(sorted(several, key=about), key=about)]


def values_of(result: SweepResult, trial: TrialRecord) -> tuple[float, ...]:
    """What a trial came to at its last epoch in each of the sweep's objectives, in their units."""
    costs = result.sweep.costs
    return tuple(
        costs.get(objective.name, np.nan)
        if objective.of == "backbone"
        else objective.course(trial.curve, trial.told).get(trial.epoch, np.nan)
        for objective in result.sweep.settings.objectives
    )


def members(results: Sequence[SweepResult]) -> list[Member]:
    """All completed trials of sweeps of the same objectives, sweep by sweep.

    One that lacks a value is never of the set, nor is the training of one before it, repeated.
    """
    found = [
        Member(place, trial, values_of(result, trial))
        for place, result in enumerate(results)
        for trial in result.of("completed")
    ]
    if not found:
        return []
    losses = np.nan_to_num(_losses(results, found), nan=np.inf)
    best = {row for row in pareto_set(losses) if np.isfinite(losses[row]).all()}
    configs = [m.trial.config for m in found]
    best -= {row for row in best if any(configs[row] == configs[r] for r in best if r < row)}
    return [Member(m.sweep, m.trial, m.values, row in best) for row, m in enumerate(found)]


def front(results: Sequence[SweepResult]) -> list[Member]:
    """The Pareto set, highest val accuracy first."""
    return sorted((m for m in members(results) if m.best), key=lambda m: -m.values[0])


def volumes(results: Sequence[SweepResult]) -> Volumes | None:
    """How the Pareto set grew; None if no trial completed in all objectives.

    Of sweeps side by side trials come in the order of their ends.
    """
    known = {(m.sweep, m.trial.number): m for m in members(results)}
    found = [m for m in known.values() if np.isfinite(m.values).all()]
    if not found:
        return None
    losses = _losses(results, found)
    worst, best = losses.max(0), losses.min(0)
    if not (worst > best).any():
        return None
    lossy = dict(zip(((m.sweep, m.trial.number) for m in found), losses, strict=True))
    ended = [(t.ended or 0.0, n, t) for n, result in enumerate(results) for t in result.ended]
    spent, rows, epochs, grown = 0, list[FloatArray](), list[float](), list[float]()
    for _, sweep, trial in sorted(ended, key=lambda end: end[:2]):
        spent += trial.trained
        if (sweep, trial.number) in lossy:
            rows.append(lossy[sweep, trial.number])
            epochs.append(float(spent))
            grown.append(covered(np.array(rows), best, worst))
    signs = np.array([one.sign for one in objectives_of(results)])
    reference = worst + BEYOND * (worst - best)
    ends = (tuple((signs * corner).tolist()) for corner in (reference, best))
    return Volumes(tuple(epochs), tuple(grown), *ends)


def _losses(results: Sequence[SweepResult], found: Sequence[Member]) -> FloatArray:
    signs = [one.sign for one in objectives_of(results)]
    return np.array([m.values for m in found]) * signs
