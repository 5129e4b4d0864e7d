"""RLD, Refined Logit Distillation: the teacher's confidence, and what it ranks below the label."""

from dataclasses import dataclass
from typing import Self

from kd.methods.config import EPOCHS, USUAL_TEMPERATURES, WarmedConfig


@dataclass(frozen=True, kw_only=True)
class Config(WarmedConfig):
    """The weights of Sun et al. 2024 (Knowledge Distillation with Refined Logits), equation 8.

    Attributes:
        alpha: α, the weight of SCD, the confidence in the sample.
        beta: β, the weight of MCD, the correlation of the classes that are kept.
        temperature: T of MCD.
        alpha_temperature: T of SCD; the authors' command for CIFAR-100 takes `temperature` too.
        warmup: W, the epochs in which both weights grow to their own.
        standardise: whether both networks' logits are standardised first (Sun et al. 2024); with
            it T 2 for both, and α and β times 9, are usual.
    """

    alpha: float = 1.0
    beta: float = 8.0
    temperature: float = 4.0
    alpha_temperature: float = 1.0
    standardise: bool = False

    def __post_init__(self) -> None:
        self.check("alpha", 0, float("inf"))
        self.check("beta", 0, float("inf"))
        self.check("temperature", *USUAL_TEMPERATURES)
        self.check("alpha_temperature", *USUAL_TEMPERATURES)
        self.check("warmup", 0, EPOCHS)

    @classmethod
    def paper(cls, backbone: str, dataset: str, teacher: str | None = None) -> Self:
        """The values of the authors' code, on `imagenet` those of its configurations."""
        if dataset == "imagenet":
            return cls(beta=0.5 if backbone == "resnet18" else 2.0, temperature=1.0, warmup=1)
        return cls()
