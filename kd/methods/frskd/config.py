"""FRSKD, Feature Refinement via Self-Knowledge Distillation: a self-teacher over the stages."""

from dataclasses import dataclass
from typing import ClassVar

from kd.methods.config import TEMPERATURES, MethodConfig, Recipe
from kd.optimizer import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """The weights of Ji et al. 2021 on CIFAR-100.

    Attributes:
        alpha: α, the weight of what the self-teacher says.
        beta: β, the weight of the distances to the attention maps of its refined features.
        temperature: T of what it says.
    """

    least_stages: ClassVar[int] = 2
    recipe: ClassVar[Recipe] = Recipe(
        epochs=200,
        batch_size=128,
        optimizer=OptimizerConfig(lr=0.1, weight_decay=1e-4, milestones=(0.5, 0.75)),
    )

    alpha: float = 2.0
    beta: float = 100.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        self.check("alpha", 0, float("inf"))
        self.check("beta", 0, float("inf"))
        self.check("temperature", *TEMPERATURES)
