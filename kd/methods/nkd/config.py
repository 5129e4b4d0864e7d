"""NKD, Normalized Knowledge Distillation: the label's class at T 1, the others renormalised."""

from dataclasses import dataclass
from typing import Self

from kd.methods.config import USUAL_TEMPERATURES, LogitConfig


@dataclass(frozen=True, kw_only=True)
class Config(LogitConfig):
    """The weight of Yang et al. 2023, equation 7.

    Attributes:
        gamma: γ, the weight of the classes but the label's.
        temperature: T of these.
    """

    gamma: float = 3.5
    temperature: float = 3.0

    def __post_init__(self) -> None:
        self.check("gamma", 0, float("inf"))
        self.check("temperature", *USUAL_TEMPERATURES)

    @classmethod
    def paper(cls, backbone: str, dataset: str, teacher: str | None = None) -> Self:
        """The authors' γ 1.5 and T 1 on `imagenet`, their CIFAR-100 values elsewhere."""
        return cls(gamma=1.5, temperature=1.0) if dataset == "imagenet" else cls()
