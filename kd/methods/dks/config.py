"""DKS, Deeply-supervised Knowledge Synergy: classifiers within the network teach each other."""

from dataclasses import dataclass
from typing import ClassVar

from kd.methods.config import TEMPERATURES, MethodConfig, Recipe
from kd.optimizer import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """How much the classifiers learn from each other (Sun et al. 2019).

    Attributes:
        beta: β, the weight of the divergences, the synergy loss; 1 in the paper.
        temperature: T of them; 1 in the paper. They are multiplied by T².
    """

    least_stages: ClassVar[int] = 2
    recipe: ClassVar[Recipe] = Recipe(
        epochs=200,
        batch_size=128,
        optimizer=OptimizerConfig(lr=0.1, milestones=(0.3, 0.6, 0.8), gamma=0.2),
    )

    beta: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        self.check("beta", 0, float("inf"))
        self.check("temperature", *TEMPERATURES)
