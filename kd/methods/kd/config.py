"""KD, the distillation of Hinton et al.: a trained network teaches a smaller one."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from kd.methods.config import TEMPERATURES, MethodConfig, Recipe
from kd.optimizer import OptimizerConfig

IMAGENET = Recipe(
    epochs=100,
    batch_size=512,
    optimizer=OptimizerConfig(lr=0.2, weight_decay=1e-4, milestones=(0.3, 0.6, 0.9)),
)


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
    def recipe_for(cls, backbone: str, dataset: str) -> Recipe:
        """The recipe of Tian et al. 2020 (CRD), whose compact networks have a smaller rate.

        On `imagenet` that of mdistiller's `configs/imagenet`.
        """
        if dataset == "imagenet":
            return IMAGENET
        if not backbone.startswith(("mobilenet", "shufflenet")):
            return cls.recipe
        return replace(cls.recipe, optimizer=replace(cls.recipe.optimizer, lr=0.01))

    @classmethod
    def paper(cls, backbone: str, dataset: str) -> Self:
        """Mdistiller's α ½ and T 1 on `imagenet`, Tian et al.'s elsewhere."""
        return cls(alpha=0.5, temperature=1.0) if dataset == "imagenet" else cls()
