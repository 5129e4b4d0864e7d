"""KD, the distillation of Hinton et al.: a trained network teaches a smaller one."""

from dataclasses import dataclass
from typing import ClassVar, Self

from kd.methods.config import TEMPERATURES, LogitConfig


@dataclass(frozen=True, kw_only=True)
class Config(LogitConfig):
    """The weights of Hinton et al. 2015, section 2; both may be set free.

    Attributes:
        alpha: α, the weight of T²·KL_T; cross-entropy has 1 − α.
        temperature: T, which softens both networks' predictions.
        multiplier: m, a further factor of T²·KL_T. Weights c and k that come to more than 1
            together (mdistiller's, 0.1 and 9 of Sun et al. 2024) are α = 1 − c, m = k/α.
        ce_weight: the weight of cross-entropy in the place of 1 − α.
        standardise: whether both networks' logits are standardised first (Sun et al. 2024, logit
            standardisation); with it T 2, α 0.9 and m 10 are usual.
    """

    takes_mixed: ClassVar[bool] = True

    alpha: float = 0.9
    temperature: float = 4.0
    multiplier: float = 1.0
    ce_weight: float | None = None
    standardise: bool = False

    def __post_init__(self) -> None:
        self.check("alpha", 0, 1)
        self.check("temperature", *TEMPERATURES)
        self.check("multiplier", 0, float("inf"), open_low=True)
        if self.ce_weight is not None:
            self.check("ce_weight", 0, float("inf"))

    @property
    def weights(self) -> tuple[float, float]:
        """Those of cross-entropy and of T²·KL_T."""
        ce_weight = 1 - self.alpha if self.ce_weight is None else self.ce_weight
        return ce_weight, self.alpha * self.multiplier

    @classmethod
    def paper(cls, backbone: str, dataset: str, teacher: str | None = None) -> Self:
        """Mdistiller's α ½ and T 1 on `imagenet`, Tian et al.'s elsewhere."""
        return cls(alpha=0.5, temperature=1.0) if dataset == "imagenet" else cls()
