"""DIST: relations between classes, and between samples, instead of exact probabilities."""

from dataclasses import dataclass
from typing import ClassVar, Self

from kd.methods.config import USUAL_TEMPERATURES, LogitConfig


@dataclass(frozen=True, kw_only=True)
class Config(LogitConfig):
    """The weights of Huang et al. 2022, equation 10.

    Attributes:
        beta: β, the weight of the relations within a row of predictions.
        gamma: γ, the weight of those within a class, over the batch.
        weight: w, of both together.
        temperature: τ.
    """

    takes_mixed: ClassVar[bool] = True

    beta: float = 1.0
    gamma: float = 1.0
    weight: float = 2.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        for name in ("beta", "gamma", "weight"):
            self.check(name, 0, float("inf"))
        self.check("temperature", *USUAL_TEMPERATURES)

    @classmethod
    def paper(cls, backbone: str, dataset: str, teacher: str | None = None) -> Self:
        """The authors' τ 1 on `imagenet`, their CIFAR-100 values elsewhere."""
        return cls(temperature=1.0) if dataset == "imagenet" else cls()
