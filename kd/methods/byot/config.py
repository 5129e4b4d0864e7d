"""BYOT, Be Your Own Teacher: the deepest classifier teaches those of the earlier stages."""

from dataclasses import dataclass
from typing import ClassVar

from kd.methods.config import USUAL_TEMPERATURES, MethodConfig, Recipe
from kd.optimizer import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """The weights of Zhang et al. 2019, as the public code has them.

    Attributes:
        alpha: α, the weight of what the deepest classifier says; CE of all has 1 − α.
        beta: β, the weight of the distances to the deepest feature, which are sums over the batch
            and the feature's units.
        temperature: T of what the deepest classifier says.
    """

    least_stages: ClassVar[int] = 2
    recipe: ClassVar[Recipe] = Recipe(
        epochs=200,
        batch_size=128,
        optimizer=OptimizerConfig(lr=0.1, milestones=(75 / 200, 130 / 200, 180 / 200)),
    )

    alpha: float = 0.1
    beta: float = 1e-6
    temperature: float = 3.0

    def __post_init__(self) -> None:
        self.check("alpha", 0, 1)
        self.check("beta", 0, float("inf"))
        self.check("temperature", *USUAL_TEMPERATURES)
