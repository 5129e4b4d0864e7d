"""KD, the distillation of Hinton et al.: a trained network teaches a smaller one."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from kd.methods.config import TEMPERATURES, MethodConfig, Recipe


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """The weights of Hinton et al. 2015, section 2.

    Attributes:
        alpha: α, the weight of T²·KL_T; cross-entropy has 1 − α.
        temperature: T, which softens both networks' predictions.
    """

    teacher: ClassVar[Literal["none", "self", "network"]] = "network"

    alpha: float = 0.9
    temperature: float = 4.0

    def __post_init__(self) -> None:
        self.check("alpha", 0, 1)
        self.check("temperature", *TEMPERATURES)

    @classmethod
    def recipe_for(cls, backbone: str) -> Recipe:
        """The recipe of Tian et al. 2020 (CRD), whose compact networks have a smaller rate."""
        compact = backbone.startswith(("mobilenet", "shufflenet"))
        if not compact:
            return cls.recipe
        return replace(cls.recipe, optimizer=replace(cls.recipe.optimizer, lr=0.01))
