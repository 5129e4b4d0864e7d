"""PS-KD, Progressive Self-Knowledge Distillation: the student's own past softens the labels."""

from dataclasses import dataclass
from typing import ClassVar

from kd.methods.config import MethodConfig, Recipe
from kd.optimizer import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """PS-KD's weight (Kim et al. 2021).

    Attributes:
        alpha: α_T, the weight that the past predictions have in the last epoch's soft labels;
            it grows linearly, α_e = α_T·(e+1)/E in epoch e of E (their section 3.2).
    """

    recipe: ClassVar[Recipe] = Recipe(
        epochs=300,
        batch_size=128,
        optimizer=OptimizerConfig(lr=0.1, nesterov=True, milestones=(150 / 300, 225 / 300)),
    )

    alpha: float = 0.8

    def __post_init__(self) -> None:
        self.check("alpha", 0, 1)

    def memories(self, num_classes: int, stages: int) -> tuple[tuple[int, ...], ...]:
        """One row a sample."""
        return ((num_classes,),)
