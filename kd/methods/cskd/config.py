"""CS-KD: what is said of another image of the same class teaches."""

from dataclasses import dataclass
from typing import ClassVar

from kd.data.needs import Needs
from kd.methods.config import TEMPERATURES, MethodConfig, Recipe
from kd.optimizer import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """The weight of Yun et al. 2020, equation 3.

    Attributes:
        weight: λ, of the class-wise term.
        temperature: T.
    """

    recipe: ClassVar[Recipe] = Recipe(
        epochs=200,
        batch_size=128,
        optimizer=OptimizerConfig(lr=0.1, weight_decay=1e-4, milestones=(0.5, 0.75)),
    )

    weight: float = 1.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        self.check("weight", 0, float("inf"))
        self.check("temperature", *TEMPERATURES)

    @property
    def needs(self) -> Needs:
        """Another image of each one's class."""
        return Needs(partner=True)
