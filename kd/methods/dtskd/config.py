"""DTSKD, Dual Teachers for Self-Knowledge Distillation: a historical and a structural teacher."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal, Self

from kd.backbones import backbone_spec
from kd.errors import UserError
from kd.methods.config import TEMPERATURES, MethodConfig, Recipe
from kd.optimizer import OptimizerConfig

# Section 4.1 for ResNet-18, table 11 for the others.
PUBLISHED_ALPHA = {"resnet18": 0.2, "vgg16": 0.6, "resnext18": 0.8}


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """DTSKD's weights (Li et al. 2024); the defaults are ResNet-18's on CIFAR-100.

    Attributes:
        alpha: α1, the weight of the historical loss; the structural one has α2 = 1 − α1
            (equation 9). 1 is the paper's ablation without structural teacher.
        beta_max: β_max, the label's weight in the first epoch's soft labels (equation 7).
        beta_min: β_min, what it falls to. β_min = β_max = 1 is the ablation without history.
        beta_schedule: the way down: `cosine` (equation 7), `linear`, or `fixed` at β_max.
        lambda_b: λ_b, the weight of every branch in the historical loss, the backbone's own
            first, then from the shallowest branch to the deepest (equation 5).
        temperature: T of the structural loss (equation 4).
        detach_teacher: whether the structural loss leaves the backbone's logits alone. The
            authors' code lets it move them.
        fusion: how deeper features reach a branch: the Mixed Fusion Module (equation 8), its
            addition or its concatenation alone (table 8), or not at all (table 7).
    """

    least_stages: ClassVar[int] = 2
    recipe: ClassVar[Recipe] = Recipe(
        epochs=300,
        batch_size=128,
        optimizer=OptimizerConfig(lr=0.1, nesterov=True, milestones=(150 / 300, 225 / 300)),
    )

    alpha: float = 0.2
    beta_max: float = 0.9
    beta_min: float = 0.0
    beta_schedule: Literal["cosine", "linear", "fixed"] = "cosine"
    lambda_b: tuple[float, ...] = (3.0, 1.0, 1.0, 1.0)
    temperature: float = 4.0
    detach_teacher: bool = False
    fusion: Literal["mixed", "add", "concat", "none"] = "mixed"

    def __post_init__(self) -> None:
        for name in ("alpha", "beta_max", "beta_min"):
            self.check(name, 0, 1)
        self.check("temperature", *TEMPERATURES)
        if self.beta_max < self.beta_min:
            raise UserError(
                f"kd.beta_max is {self.beta_max}, below kd.beta_min, {self.beta_min}; swap them."
            )
        if not all(0 <= weight < inf for weight in self.lambda_b) or not any(self.lambda_b):
            raise UserError(
                f"kd.lambda_b is {list(self.lambda_b)}; give one finite weight a branch, none of "
                "them below 0 and one at least above."
            )

    def memories(self, num_classes: int, stages: int) -> tuple[tuple[int, ...], ...]:
        """A row for the backbone, and one for every branch."""
        return ((stages, num_classes),)

    @classmethod
    def paper(cls, backbone: str, dataset: str) -> Self:
        """The paper's values, with as many λ_b as the backbone has stages; ImageNet has its own."""
        branches = backbone_spec(backbone).stages
        if dataset == "imagenet":
            weights = (4.0, *(1.0 for _ in range(branches - 1)))
            return cls(alpha=0.9, beta_max=1.0, beta_min=0.8, lambda_b=weights)
        weights = (3.0, *(1.0 for _ in range(branches - 1)))
        return cls(alpha=PUBLISHED_ALPHA.get(backbone, cls.alpha), lambda_b=weights)
