"""DR-KD, Dynamic Rectification: a self-teacher whose wrong answers are put right."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from kd.methods.config import TEMPERATURES, MethodConfig, Recipe
from kd.optimizer import OptimizerConfig

# α and τ from table I; m from the authors' code, where it belongs to the backbone. Any other
# backbone takes the row of the two compact networks.
PUBLISHED = {
    "mobilenetv2": (0.95, 20.0, 1.0),
    "shufflenetv2": (0.95, 20.0, 1.0),
    "resnet18": (0.95, 6.0, 50.0),
    "googlenet": (0.40, 20.0, 50.0),
}
PUBLISHED_TINY_IMAGENET = {
    "mobilenetv2": (0.10, 20.0, 1.0),
    "shufflenetv2": (0.10, 20.0, 1.0),
    "resnet50": (0.10, 20.0, 1.0),
    "densenet121": (0.15, 20.0, 1.0),
}
# What is not 128: section IV-A and IV-C.
BATCHES = {
    ("cifar10", "mobilenetv2"): 256,
    ("cifar10", "shufflenetv2"): 256,
    ("tiny-imagenet", "resnet50"): 64,
    ("tiny-imagenet", "densenet121"): 64,
}


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """DR-KD's weights (Amik et al. 2022); `paper` has the published ones.

    Attributes:
        alpha: α, the weight of the distillation term; cross-entropy has 1 − α (equation 4).
        temperature: τ (equation 1).
        scaling: what the term is, of KL_τ, the batch mean: `paper` KL_τ itself (equation 4);
            `tau_squared` τ²·KL_τ, as Hinton et al. 2015; `per_class` τ²·KL_τ/C, as the
            authors' code. The published α and τ hold for `per_class`: without τ² a τ of 20
            leaves next to nothing of the term.
        multiplier: m, a further factor of the term.
    """

    recipe: ClassVar[Recipe] = Recipe(
        epochs=200,
        batch_size=128,
        optimizer=OptimizerConfig(
            lr=0.1,
            milestones=(60 / 200, 120 / 200, 160 / 200),
            gamma=0.2,
            warmup=1 / 200,
        ),
    )
    teacher: ClassVar[Literal["none", "self", "network"]] = "self"

    alpha: float = 0.95
    temperature: float = 20.0
    scaling: Literal["paper", "tau_squared", "per_class"] = "paper"
    multiplier: float = 1.0

    def __post_init__(self) -> None:
        self.check("alpha", 0, 1)
        self.check("temperature", *TEMPERATURES)
        self.check("multiplier", 0, float("inf"), open_low=True)

    @classmethod
    def recipe_for(cls, backbone: str, dataset: str) -> Recipe:
        """The paper's batches (section IV), and a learning rate of 0.1 for each 128 images."""
        batch_size = BATCHES.get((dataset, backbone), cls.recipe.batch_size)
        if dataset == "imagenet" or batch_size == cls.recipe.batch_size:
            return super().recipe_for(backbone, dataset)
        optimizer = replace(cls.recipe.optimizer, lr=cls.recipe.optimizer.lr * batch_size / 128)
        return replace(cls.recipe, batch_size=batch_size, optimizer=optimizer)

    @classmethod
    def paper(cls, backbone: str, dataset: str) -> Self:
        """The published α and τ, in the scaling that they were found with."""
        table = PUBLISHED_TINY_IMAGENET if dataset == "tiny-imagenet" else PUBLISHED
        alpha, temperature, multiplier = table.get(backbone, table["mobilenetv2"])
        return cls(alpha=alpha, temperature=temperature, scaling="per_class", multiplier=multiplier)
