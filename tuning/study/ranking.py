"""The order of a search's trials, and a sampler that learns from it.

Optuna's TPE ranks a stopped trial by how far it came, and below every completed one. Under early
stopping that misleads it: the first trials at a rung pass it whatever they are worth, and so does
the paper's default, which is never stopped; they complete, rank first, and TPE crowds around them.
Here two trials are compared where both were measured, at the last epoch that both reached.
"""

import math
from collections.abc import Container, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from tuning.study.objectives import Objectives, kept_told, losses, searched
from tuning.study.pareto import best_first
from tuning.study.stopping import DIVERGED

RANDOM = 0.1
"""The share of trials that are drawn evenly over the space."""


def ranking(curves: Sequence[Mapping[int, float]]) -> list[float]:
    """For each trial the share of the others that it beats, 0 … 1, equal ones half (Borda's count).

    Args:
        curves: val accuracy by 1-based epoch, of one epoch at least. One that ends at `DIVERGED`,
            the score of a loss that was not finite, is beaten by all that do not.
    """
    lasts = np.array([max(curve) for curve in curves])
    values = np.full((len(curves), lasts.max()), np.nan)
    for row, curve in enumerate(curves):
        values[row, [epoch - 1 for epoch in curve]] = list(curve.values())
        if curve[lasts[row]] == DIVERGED:
            values[row] = -np.inf
    common = np.minimum(lasts[:, None], lasts) - 1
    rows = np.arange(len(curves))
    own, other = values[rows[:, None], common], values[rows, common]
    beaten = (own > other) + 0.5 * (own == other)
    # A trial that was resumed may lack an epoch; of whom it cannot be compared with it beats half.
    beaten[np.isnan(own) | np.isnan(other)] = 0.5
    shares: list[float] = ((beaten.sum(1) - 0.5) / max(len(curves) - 1, 1)).tolist()
    return shares


def ranking_of_several(trials: Sequence[FrozenTrial], objectives: Objectives) -> list[float]:
    """For each trial the share of the others that it comes before, 0 … 1, in the order of `pareto`.

    One that diverged comes after all that did not.
    """
    courses = []
    for trial in trials:
        curve = trial.intermediate_values
        course = losses(objectives, curve, kept_told(trial.user_attrs, curve))
        if curve[max(curve)] == DIVERGED:
            course = dict.fromkeys(course, (math.inf,) * len(objectives))
        courses.append(course)
    shares = [0.0] * len(trials)
    for place, row in enumerate(best_first(courses)):
        shares[row] = 1 - place / max(len(trials) - 1, 1)
    return shares


class RankedTPE(BaseSampler):
    """TPE (Bergstra et al. 2011) over the ranking of all trials, stopped and running ones too.

    By val accuracy, or by several `objectives`.

    The first `startup` trials are drawn evenly over the space, as by Optuna's own, and then one in
    `1 / RANDOM`, wherever the others crowd. Those that are `told` beside the study's own, of
    earlier sweeps, stand in the same ranking and count as ended.
    """

    def __init__(
        self,
        seed: int,
        startup: int,
        objectives: Objectives = (),
        told: Sequence[FrozenTrial] = (),
    ) -> None:
        self._objectives = searched(objectives)
        self._tpe = TPESampler(n_startup_trials=1, seed=seed)
        self._random = RandomSampler(seed=seed)
        self._startup = startup
        self._told = list(told)
        self._by_chance = np.random.default_rng(seed).random() < RANDOM
        self._drawing: tuple[BaseSampler, optuna.Study, FrozenTrial] | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What is drawn together; called first for each trial."""
        self._drawing = self._begin(study, trial)
        sampler, ranked, asked = self._drawing
        return sampler.infer_relative_search_space(ranked, asked)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The hyperparameters that are drawn together."""
        sampler, ranked, asked = self._drawing or self._begin(study, trial)
        return sampler.sample_relative(ranked, asked, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """One that is drawn by itself."""
        sampler, ranked, asked = self._drawing or self._begin(study, trial)
        return sampler.sample_independent(ranked, asked, param_name, param_distribution)

    def _begin(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> tuple[BaseSampler, optuna.Study, FrozenTrial]:
        """Who draws, from which study, for which trial of it."""
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        ended = [t for t in others if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        if len(ended) + len(self._told) < self._startup or self._by_chance:
            return self._random, study, trial
        own = [t for t in others if t.intermediate_values and t.state != TrialState.FAIL]
        told = [*self._told, *own]
        if not told:
            return self._random, study, trial
        if len(self._objectives) > 1:
            shares = ranking_of_several(told, self._objectives)
        else:
            shares = ranking([t.intermediate_values for t in told])
        begun = [t for t in others if not t.intermediate_values and t.state == TrialState.RUNNING]
        seen = [_with(t, share) for t, share in zip(told, shares, strict=True)]
        # Where others have only begun TPE draws less, so that slots do not all try the same.
        seen += [_with(t, None) for t in begun if t.params]
        storage = _Seen(seen)
        ranked = optuna.create_study(storage=storage, direction="maximize", sampler=self._random)
        return self._tpe, ranked, storage.ask(ranked)


def _with(trial: FrozenTrial, value: float | None) -> FrozenTrial:
    """The trial as one that completed with `value`, or that runs where that is None."""
    other = copy(trial)
    other.state = TrialState.RUNNING if value is None else TrialState.COMPLETE
    other.value, other.system_attrs = value, {}
    return other


class _Seen(InMemoryStorage):
    """Holds given trials, before those of its own: Optuna's copies and checks each, every time."""

    def __init__(self, seen: list[FrozenTrial]) -> None:
        super().__init__()
        for number, trial in enumerate(seen):
            trial.number = number
        self._seen = seen

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The given ones of `states`, which are not copied."""
        return [trial for trial in self._seen if states is None or trial.state in states]

    def ask(self, study: optuna.Study) -> FrozenTrial:
        """A trial to draw for, which comes after them."""
        own = self.create_new_trial(self.get_study_id_from_name(study.study_name))
        asked = copy(self.get_trial(own))
        asked.number = len(self._seen)
        return asked
