"""KD, the distillation of Hinton et al.: a trained network teaches a smaller one."""

from dataclasses import dataclass
from typing import Self

from kd.methods.config import TEMPERATURES, TaughtConfig


@dataclass(frozen=True, kw_only=True)
class Config(TaughtConfig):
    """The weights of Hinton et al. 2015, section 2.

    Attributes:
        alpha: α, the weight of T²·KL_T; cross-entropy has 1 − α.
        temperature: T, which softens both networks' predictions.
    """

    alpha: float = 0.9
    temperature: float = 4.0

    def __post_init__(self) -> None:
        self.check("alpha", 0, 1)
        self.check("temperature", *TEMPERATURES)

    @classmethod
    def paper(cls, backbone: str, dataset: str) -> Self:
        """Mdistiller's α ½ and T 1 on `imagenet`, Tian et al.'s elsewhere."""
        return cls(alpha=0.5, temperature=1.0) if dataset == "imagenet" else cls()
