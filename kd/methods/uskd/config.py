"""USKD, Universal Self-Knowledge Distillation: soft labels from the student's own two outputs."""

from dataclasses import dataclass
from typing import ClassVar, Self

from kd.methods.config import MethodConfig


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """The weights of Yang et al. 2023 (From Knowledge Distillation to Self-Knowledge Distillation).

    Attributes:
        alpha: α, the weight of the label's part.
        beta: β, the weight of the others' part.
        mu: μ, the weight of the weak output's cross-entropy.
    """

    least_stages: ClassVar[int] = 2

    alpha: float = 0.1
    beta: float = 0.1
    mu: float = 0.1

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            self.check(name, 0, float("inf"))
        # Without it the weak output learns nothing.
        self.check("mu", 0, float("inf"), open_low=True)

    @classmethod
    def paper(cls, backbone: str, dataset: str) -> Self:
        """The authors' values for `imagenet`, their CIFAR-100 values elsewhere."""
        return cls(alpha=1.0, beta=0.1, mu=0.005) if dataset == "imagenet" else cls()
