"""SP, Similarity-Preserving distillation (Tung & Mori 2019)."""

from dataclasses import dataclass

from kd.methods.config import FeatureConfig


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """The weight of Tian et al. 2020, who compare it with the others: β 3000."""

    beta: float = 3000.0
