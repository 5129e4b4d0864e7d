"""Samplers that Optuna lacks, or has with words and limits that are none of a search's."""

from collections.abc import Collection, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler
from optuna.trial import FrozenTrial, TrialState

from tuning.study.grid import Point


class GridSampler(BaseSampler):
    """Gives trial n the n-th of `points`, so that a resumed search goes on with the next one."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = points

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """None: every value is looked up by itself."""
        return {}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """None."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The value that the trial's point has."""
        return self._points[trial.number][param_name]


class Evolution(CmaEsSampler):
    """CMA-ES (Hansen, arXiv:1604.00772) over the numbers that every trial has.

    Choices, and what is searched only under conditions, are drawn evenly, each by itself: else
    the first trial without a conditional number would leave the search to chance, as the
    distribution has one number of dimensions for good. A stopped trial counts with its last
    score, since within a generation Optuna looks at the order alone. The distribution is kept in
    the study, in the trial that was drawn from it.
    """

    def __init__(self, seed: int, numbers: Collection[str]) -> None:
        super().__init__(seed=seed, consider_pruned_trials=True, warn_independent_sampling=False)
        self._numbers = numbers

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The numbers that are drawn together."""
        found = super().infer_relative_search_space(study, trial)
        return {name: domain for name, domain in found.items() if name in self._numbers}

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Nothing: Optuna's would say that it does not learn from what marks divergence.

        It need not, as a training that diverged has the worst of all scores.
        """
