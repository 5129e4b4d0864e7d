"""RKD, Relational Knowledge Distillation (Park et al. 2019)."""

from dataclasses import dataclass

from kd.methods.config import FeatureConfig


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """The weights of Park et al. 2019, as Tian et al. 2020 take them.

    Attributes:
        distance_weight: of the distances of two samples.
        angle_weight: of the angles of three.
    """

    distance_weight: float = 25.0
    angle_weight: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("distance_weight", 0, float("inf"))
        self.check("angle_weight", 0, float("inf"))
