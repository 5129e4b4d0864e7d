"""Samplers that Optuna lacks, or has with words and limits that are none of a search's."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from search_spaces import Choice, Range, Space
from tuning.study.drawing import distribution
from tuning.study.grid import Point

DRAWS = 100
"""By chance at most, in place of one that was tried."""


class Once(BaseSampler):
    """Draws as `sampler` does, but never what is `known`: the same seed would train it again.

    So a configuration is drawn whole. In place of a known one comes the first that is new of
    `points`, all that `space` holds, or where it is a continuum of `DRAWS` by chance.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        space: Space,
        known: Callable[[Point], bool],
        points: Sequence[Point],
        seed: int,
    ) -> None:
        self._sampler, self._space, self._known = sampler, space, known
        self._points, self._random = points, RandomSampler(seed=seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All that may vary."""
        return {name: distribution(domain) for name, domain in self._space.parameters()}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The whole configuration."""
        own = self._sampler.infer_relative_search_space(study, trial)
        jointly = self._sampler.sample_relative(study, trial, own)

        def draw(sampler: BaseSampler, together: Point) -> dict[str, Any]:
            def pick(name: str, domain: Range | Choice) -> Any:
                if name in together:
                    return domain.nearest(together[name])
                if search_space[name].single():
                    return domain.corners()[0]
                value = sampler.sample_independent(study, trial, name, search_space[name])
                return domain.nearest(value)

            return self._space.draw(pick)

        def others() -> Iterator[Point]:
            yield from self._points or (draw(self._random, {}) for _ in range(DRAWS))

        values = draw(self._sampler, jointly)
        if self._known(values):
            values = dict(next((p for p in others() if not self._known(p)), values))
        return values

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """What was not drawn with the others, of which there is nothing."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """What the sampler does then."""
        self._sampler.before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """What the sampler does then."""
        self._sampler.after_trial(study, trial, state, values)


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
