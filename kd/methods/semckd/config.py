"""SemCKD: every stage of the student learns from the teacher's stages that mean the same."""

from dataclasses import dataclass
from typing import Self

from kd.methods.config import IMAGENET, FeatureConfig, Recipe


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """The weights of Chen et al. 2021, who take CE and KD with 1 each beside it."""

    beta: float = 400.0
    kd_weight: float = 1.0

    @classmethod
    def recipe_for(cls, backbone: str, dataset: str) -> Recipe:
        """That of Tian et al. 2020; on `imagenet` the usual one, as in the authors' command."""
        return IMAGENET if dataset == "imagenet" else super().recipe_for(backbone, dataset)

    @classmethod
    def paper(cls, backbone: str, dataset: str, teacher: str | None = None) -> Self:
        """The values of the authors' commands: β 400, on ImageNet 50."""
        return cls(beta=50.0) if dataset == "imagenet" else cls()
