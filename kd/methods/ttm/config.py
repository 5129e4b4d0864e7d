"""TTM, Transformed Teacher Matching: the teacher's softmax to a power, the student's as it is."""

from dataclasses import dataclass
from typing import ClassVar

from kd.methods.config import LogitConfig


@dataclass(frozen=True, kw_only=True)
class Config(LogitConfig):
    """The weights of Zheng and Yang 2024, equation 12.

    Attributes:
        gamma: γ, the power; 1/T of KD.
        beta: b, the weight of the divergence.
        ce_weight: r, the weight of CE.
    """

    takes_mixed: ClassVar[bool] = True

    gamma: float = 0.1
    beta: float = 45.0
    ce_weight: float = 1.0

    def __post_init__(self) -> None:
        self.check("gamma", 1e-3, 1e3)
        self.check("beta", 0, float("inf"))
        self.check("ce_weight", 0, float("inf"))
