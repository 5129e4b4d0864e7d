"""How the next configuration is drawn."""

import logging
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kd.errors import unknown
from kd.section import flatten
from search_spaces import Space
from tuning.study.drawing import suggest
from tuning.study.grid import Point, countable, ordered
from tuning.study.objectives import Objectives
from tuning.study.warm import COLD, WarmStart

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    from kd.config import TrainConfig

SamplerName = Literal["tpe", "optuna-tpe", "gp", "cmaes", "qmc", "random", "grid"]
TPE: SamplerName = "tpe"
"""The sampler of a sweep that asks for no other."""
GRID: SamplerName = "grid"
"""The one that ends with its space."""
LIBRARY_SEEDS = 2**32
"""What NumPy's and Optuna's random numbers begin with is below it; a sweep's seed may be larger."""
BY_CHANCE: tuple[SamplerName, ...] = ("random", "qmc", GRID)
"""Those that learn nothing from earlier trials."""


@dataclass(frozen=True)
class Drawing:
    """What a sampler is made from, anew for each trial: a resumed sweep draws as the unbroken one.

    `seed` is the trial's own and `sweep` that of the sweep; `planned` is how many trials there
    will be at most, None where that is open. `always` names what is searched under no condition;
    `points` are those of a grid, in their order; `objectives` what trials are compared in, val
    accuracy alone if none; `told` are trials of earlier sweeps that it learns from, too.
    """

    seed: int
    sweep: int
    planned: int | None
    always: Collection[str] = ()
    points: Sequence[Point] = ()
    objectives: Objectives = ()
    told: "Sequence[FrozenTrial]" = ()

    @property
    def startup(self) -> int:
        """How many trials are random before anything is learnt from them.

        Optuna's 10 are most of a small search. On noisy quadratics of five variables, 16 trials
        end 0.99 ± 0.06 below the optimum with 4 of them, 1.16 ± 0.08 with 10 (mean ± standard
        error, n = 120); from 32 trials on it makes no difference. So 4 where nobody knows.
        """
        return min(10, max(4, (self.planned or 0) // 4))


def sampler(
    seed: int,
    drawn: int,
    planned: int | None,
    name: str = TPE,
    *,
    always: Collection[str] = (),
    points: Sequence[Point] = (),
    objectives: Objectives = (),
    told: "Sequence[FrozenTrial]" = (),
) -> "BaseSampler":
    """The sampler `name` for the trial after `drawn` others, of `planned` in all, if that is known.

    The rest is as of a `Drawing`. Where it is `told` of trials of earlier sweeps it draws as if
    these had gone on, so that it does not draw what an earlier sweep of the same seed drew. Raises
    `UserError` for a name that is not registered.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    seeds = np.random.SeedSequence((seed, drawn + len(told))).generate_state(1)
    drawing = Drawing(int(seeds[0]), seed, planned, always, points, objectives, told)
    return SAMPLERS[name](drawing)


class Sampling:
    """How one search draws: from `space` around `base`, by the sampler `name`, nothing twice.

    Args:
        space: what varies.
        base: the paper's default, which comes first.
        trials: how many are drawn, None where that is open; a space may hold fewer.
        seed: the search's.
        name: one of `SAMPLERS`.
        planned: how many trials there will be at most, where that is known otherwise.
        objectives: what trials are compared in; of several, no earlier sweep tells.
        warm: what comes after the default, and what the sampler is told of.

    Raises:
        UserError: a grid over a space that is none.
    """

    def __init__(
        self,
        space: Space,
        base: "TrainConfig",
        trials: int | None,
        seed: int = 0,
        name: str = TPE,
        planned: int | None = None,
        objectives: Objectives = (),
        warm: WarmStart = COLD,
    ) -> None:
        self._space, self._base, self._warm = space, base, warm
        self._seed, self._name, self._objectives = seed % LIBRARY_SEEDS, name, objectives
        self._points = (ordered if name == GRID else countable)(space, base, self._seed)
        self._always = [parameter for parameter, domain in space.parameters() if not domain.when]
        self._tried: list[list[Any]] = []
        self._told = [] if len(objectives) > 1 else [told.frozen(space) for told in warm.told]
        size = len(self._points)
        self.trials = min(size, trials or size) if size else trials
        self._planned = self.trials if planned is None else planned

    @property
    def first(self) -> list[dict[str, Any]]:
        """The values of the first trials, which are not drawn."""
        default = self._space.default_values(self._base)
        return [default, *(dict(one.values) for one in self._warm.first)]

    def about(self, number: int) -> dict[str, Any]:
        """What a trial's record says of where its configuration comes from, if it was not drawn.

        The `label` of its row, or the `source` that is another search.
        """
        found = {"label": self._space.label(number), "source": self._warm.source(number)}
        return {name: value for name, value in found.items() if value}

    def after(self, drawn: Sequence[Mapping[str, Any]]) -> "BaseSampler":
        """The sampler for the trial after those of the configurations `drawn`, in their order."""
        from tuning.study.samplers import Once

        self._tried += map(self._varied, drawn[len(self._tried) :])

        def known(values: Point) -> bool:
            if self._space.rows and values not in self._points:
                # Between rows lies nothing, perhaps not even a configuration.
                return True
            config = self._space.apply(self._base, values)
            return self._varied(config.to_dict()) in self._tried

        own = sampler(
            self._seed,
            len(drawn),
            self._planned,
            self._name,
            always=self._always,
            points=self._points,
            objectives=self._objectives,
            told=self._told,
        )
        return Once(own, self._space, known, self._points, self._seed)

    def _varied(self, config: Mapping[str, Any]) -> list[Any]:
        """What a configuration, as it is kept, has where others of the search may differ."""
        flat = dict(flatten(config))
        return [flat.get(name) for name in self._space.domains]

    def draw(self, trial: "Trial") -> "TrainConfig":
        """The trial's configuration, by the sampler of its study."""
        values = self._space.draw(partial(suggest, trial))
        return self._space.apply(self._base, values)


def _tpe(drawing: Drawing) -> "BaseSampler":
    """The tree of Parzen estimators (Bergstra et al. 2011) over a ranking of all trials."""
    from tuning.study.ranking import RankedTPE

    return RankedTPE(drawing.seed, drawing.startup, drawing.objectives, drawing.told)


def _optuna(drawing: Drawing) -> "BaseSampler":
    """The same as Optuna has it: a stopped trial ranks below every completed one."""
    from optuna.samplers import TPESampler

    return TPESampler(n_startup_trials=drawing.startup, seed=drawing.seed)


def _gp(drawing: Drawing) -> "BaseSampler":
    """Optuna's Gaussian process, which learns from completed trials alone."""
    from optuna.samplers import GPSampler

    # It says that it would draw sooner with greenlet, to whoever cannot tell what that is.
    logging.getLogger("optuna._gp.batched_lbfgsb").setLevel(logging.ERROR)
    return GPSampler(
        n_startup_trials=drawing.startup, seed=drawing.seed, warn_independent_sampling=False
    )


def _cmaes(drawing: Drawing) -> "BaseSampler":
    """Optuna's CMA-ES, by the order of all trials that ended."""
    from tuning.study.samplers import Evolution

    with _unsaid("Argument ``consider_pruned_trials`` is an experimental feature"):
        return Evolution(drawing.seed, drawing.always)


def _qmc(drawing: Drawing) -> "BaseSampler":
    """Sobol's sequence, scrambled: spread more evenly than chance would."""
    from optuna.samplers import QMCSampler

    with _unsaid("QMCSampler is experimental"):
        return QMCSampler(scramble=True, seed=drawing.sweep, warn_independent_sampling=False)


def _random(drawing: Drawing) -> "BaseSampler":
    """Every configuration for itself, evenly over the space (Bergstra and Bengio 2012)."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=drawing.seed)


def _grid(drawing: Drawing) -> "BaseSampler":
    """Every configuration of the space once."""
    from tuning.study.samplers import GridSampler

    return GridSampler(drawing.points)


@contextmanager
def _unsaid(start: str) -> Iterator[None]:
    """Keep to itself the warning of Optuna that begins so, and no other one."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=start, category=ExperimentalWarning)
        yield


SAMPLERS: dict[str, Callable[[Drawing], "BaseSampler"]] = {
    TPE: _tpe,
    "optuna-tpe": _optuna,
    "gp": _gp,
    "cmaes": _cmaes,
    "qmc": _qmc,
    "random": _random,
    GRID: _grid,
}
"""From a name to what makes such a sampler."""
