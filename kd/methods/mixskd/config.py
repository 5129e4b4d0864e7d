"""MixSKD, Self-Knowledge Distillation from Mixup: pairs of images, and mixtures of them."""

from dataclasses import dataclass
from typing import ClassVar, Self

from kd.methods.config import TEMPERATURES, MethodConfig, Recipe
from kd.optimizer import OptimizerConfig

ON_IMAGENET = Recipe(
    epochs=100,
    batch_size=256,
    optimizer=OptimizerConfig(lr=0.1, weight_decay=1e-4, milestones=(0.3, 0.6, 0.9)),
)


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """The weights of Yang et al. 2022, whose terms all have 1.

    Attributes:
        mixup_alpha: α; a mixture has λ of one image and 1 − λ of the other, λ of Beta(α, α).
        mixed_label_weight: of CE of the mixtures and of the self-teacher. The released code for
            CIFAR computes it and leaves it out, which is 0: the self-teacher then learns nothing.
        kd_weight: of the divergences.
        feature_weight: of the distances between feature maps.
        discriminator_weight: of the discriminators' loss.
        temperature: T of the divergences.
    """

    least_stages: ClassVar[int] = 2
    recipe: ClassVar[Recipe] = Recipe(
        epochs=205,
        batch_size=64,
        optimizer=OptimizerConfig(
            lr=0.1, nesterov=True, milestones=(105 / 205, 155 / 205), warmup=5 / 205
        ),
    )

    mixup_alpha: float = 0.4
    mixed_label_weight: float = 1.0
    kd_weight: float = 1.0
    feature_weight: float = 1.0
    discriminator_weight: float = 1.0
    temperature: float = 3.0

    def __post_init__(self) -> None:
        self.check("mixup_alpha", 0, float("inf"), open_low=True)
        for part in ("mixed_label", "kd", "feature", "discriminator"):
            self.check(f"{part}_weight", 0, float("inf"))
        self.check("temperature", *TEMPERATURES)

    @classmethod
    def recipe_for(cls, backbone: str, dataset: str) -> Recipe:
        """The authors' recipes, of which `imagenet` has its own."""
        return ON_IMAGENET if dataset == "imagenet" else cls.recipe

    @classmethod
    def paper(cls, backbone: str, dataset: str) -> Self:
        """The authors' values; on `imagenet` mixtures are nearer to one of the images."""
        return cls(mixup_alpha=0.1) if dataset == "imagenet" else cls()
