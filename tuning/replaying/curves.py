"""Where a replayed search gets its curves from."""

from typing import Protocol

from kd.config import TrainConfig
from search_spaces import Space
from tuning.study.cube import FloatArray
from tuning.study.objectives import Objectives


class Curves(Protocol):
    """The curves of every configuration of a space: val accuracies in percent, epoch by epoch."""

    @property
    def name(self) -> str:
        """What it is called in a table."""

    @property
    def space(self) -> Space:
        """What may vary; a searcher draws from it exactly as in a sweep."""

    @property
    def base(self) -> TrainConfig:
        """The paper's default, which is trial 0; its `epochs` are the longest that a trial runs."""

    def curve(self, config: TrainConfig, seed: int) -> FloatArray:
        """The scores of `config` trained with `seed`: shape (epochs,), the same for the same two.

        NaN from some epoch on stands for a training that diverged there.
        """

    @property
    def offers(self) -> tuple[str, ...]:
        """The names of the objectives that it knows."""

    def told(self, config: TrainConfig, seed: int, name: str) -> FloatArray:
        """What each epoch tells of an objective that it offers, shape (epochs,)."""

    def reached(self, objectives: Objectives) -> FloatArray:
        """The losses that configurations of the space come to, shape (n, objectives).

        All that are recorded; of generated ones a sample.
        """

    def truth(self, config: TrainConfig) -> float:
        """The expected score of the last epoch, over seeds."""

    def best(self) -> float:
        """The highest truth of the space."""

    def seconds(self, config: TrainConfig) -> float:
        """How long an epoch of `config` takes."""
