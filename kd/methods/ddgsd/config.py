"""DDGSD, Data-Distortion Guided Self-Distillation: two views of an image teach each other."""

from dataclasses import dataclass
from typing import ClassVar

from kd.data.needs import Needs
from kd.methods.config import TEMPERATURES, MethodConfig, Recipe
from kd.optimizer import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """The weights of Xu & Liu 2019.

    Attributes:
        ce_weight: the weight of CE, which is the mean over both views; the public code has ½.
        beta: the weight of the divergences of both views; 1 in the paper.
        mu: μ, the weight of the squared difference of both views' mean features.
        temperature: T of the divergences.
    """

    least_stages: ClassVar[int] = 1
    recipe: ClassVar[Recipe] = Recipe(
        epochs=200,
        batch_size=128,
        optimizer=OptimizerConfig(
            lr=0.1, nesterov=True, milestones=(105 / 200, 155 / 200), warmup=5 / 200
        ),
    )

    ce_weight: float = 1.0
    beta: float = 1.0
    mu: float = 5e-4
    temperature: float = 4.0

    def __post_init__(self) -> None:
        for name in ("ce_weight", "beta", "mu"):
            self.check(name, 0, float("inf"))
        self.check("temperature", *TEMPERATURES)

    @property
    def needs(self) -> Needs:
        """Two views of each image."""
        return Needs(views=2)
