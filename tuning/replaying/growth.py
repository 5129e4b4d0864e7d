"""How the Pareto set of a simulated search grows towards what its source has."""

import numpy as np

from kd.config import TrainConfig
from tuning.replaying.curves import Curves
from tuning.study.objectives import VAL_ACC, Objectives, losses
from tuning.study.pareto import FloatArray, covered, pareto_set
from tuning.study.trials import TrialRecord


class Growth:
    """The hypervolume of completed trials, in parts of that of all that `source` has.

    Both as `tuning.study.pareto.covered`, by the best and the worst of the source.
    """

    def __init__(self, source: Curves, objectives: Objectives) -> None:
        self.objectives, self._source = objectives, source
        reached = source.reached(objectives)
        self._best, self._worst = reached.min(0), reached.max(0)
        self._whole = self._volume(reached)
        self._found: list[tuple[float, ...]] = []
        self.volume = 0.0

    def told(self, config: TrainConfig, seed: int, epoch: int) -> dict[str, float]:
        """What the epoch of a training tells beside its val accuracy, as a report does."""
        return {
            one.metric: float(self._source.told(config, seed, one.name)[epoch - 1])
            for one in self.objectives
            if one.name != VAL_ACC.name
        }

    def add(self, record: TrialRecord) -> None:
        """Count a completed trial."""
        self._found.append(losses(self.objectives, record.curve, record.told)[record.epoch])
        found = np.array(self._found)
        self._found = [self._found[row] for row in pareto_set(found)]
        self.volume = self._volume(np.array(self._found)) / self._whole if self._whole else 0.0

    def _volume(self, found: FloatArray) -> float:
        return covered(found, self._best, self._worst)
