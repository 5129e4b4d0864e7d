"""AT, Attention Transfer (Zagoruyko & Komodakis 2017)."""

from dataclasses import dataclass

from kd.methods.config import FeatureConfig


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """The weight of Tian et al. 2020, who compare it with the others: β 1000."""

    beta: float = 1000.0
