"""Tf-KD_self: a network learns from an earlier-trained copy of itself."""

from dataclasses import dataclass
from typing import Literal, Self

from kd.methods.drkd.config import Config as Rectified

PUBLISHED = {
    "mobilenetv2": (0.95, 20.0, 1.0),
    "shufflenetv2": (0.95, 20.0, 1.0),
    "resnet18": (0.95, 6.0, 50.0),
    "googlenet": (0.40, 20.0, 50.0),
    "densenet121": (0.90, 20.0, 50.0),
    "resnext29_8x64d": (0.90, 20.0, 100.0),
}
"""α, τ and m of the authors' code; any other backbone takes those of the compact networks."""


@dataclass(frozen=True, kw_only=True)
class Config(Rectified):
    """The weights of Yuan et al. 2020, equation 7, in the scaling of their code.

    Attributes:
        alpha: α, the weight of the distillation term; cross-entropy has 1 − α.
        temperature: τ.
        scaling: what the term is, of KL_τ: `per_class` τ²·KL_τ/C, as their code, which takes the
            mean over classes too; `tau_squared` τ²·KL_τ; `paper` KL_τ.
        multiplier: m, a further factor of the term.
    """

    scaling: Literal["paper", "tau_squared", "per_class"] = "per_class"

    @classmethod
    def paper(cls, backbone: str, dataset: str) -> Self:
        """The values of the authors' code for CIFAR-100."""
        alpha, temperature, factor = PUBLISHED.get(backbone, PUBLISHED["mobilenetv2"])
        return cls(alpha=alpha, temperature=temperature, multiplier=factor)
