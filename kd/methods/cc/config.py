"""CC, Correlation Congruence (Peng et al. 2019), in RepDistiller's form."""

from dataclasses import dataclass

from kd.methods.config import FeatureConfig


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """The weight of Tian et al. 2020, and the width of the embeddings.

    Attributes:
        width: D, to which both networks' pooled features are embedded.
    """

    beta: float = 0.02
    width: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("width", 1, 100_000)
