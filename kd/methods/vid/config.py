"""VID, Variational Information Distillation (Ahn et al. 2019)."""

from dataclasses import dataclass

from kd.methods.config import FeatureConfig


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """The weight of Tian et al. 2020, and the variance that training begins with.

    Attributes:
        variance: σ² at the beginning, of every channel.
    """

    beta: float = 1.0
    variance: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("variance", 1e-3, 1e3)
