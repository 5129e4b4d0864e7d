"""Tf-KD_reg: a teacher that is written down, nearly sure of the label."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from kd.methods.config import USUAL_TEMPERATURES, MethodConfig, Recipe
from kd.methods.drkd.config import Config as Rectified

PUBLISHED = {
    "resnet18": (0.10, 20.0, 100.0),
    "mobilenetv2": (0.95, 40.0, 1.0),
    "shufflenetv2": (0.95, 10.0, 1.0),
    "googlenet": (0.10, 40.0, 50.0),
}
"""α, τ and m of the authors' code; any other backbone takes those of mobilenetv2."""


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """The weights of Yuan et al. 2020, equation 9.

    Attributes:
        alpha: α, the weight of the teacher's term; cross-entropy has 1 − α.
        temperature: τ.
        multiplier: m, a further factor of the term in the form of the code.
        certainty: a, the teacher's probability of the label.
        form: `code` m·KL(softmax(v/τ) ‖ p)/C, v the teacher's probabilities, as the authors' code
            softens them, the student at τ 1; `paper` KL_τ, both softened by their logits.
    """

    recipe: ClassVar[Recipe] = Rectified.recipe

    alpha: float = 0.95
    temperature: float = 40.0
    multiplier: float = 1.0
    certainty: float = 0.99
    form: Literal["code", "paper"] = "code"

    def __post_init__(self) -> None:
        self.check("alpha", 0, 1)
        self.check("temperature", *USUAL_TEMPERATURES)
        self.check("multiplier", 0, float("inf"), open_low=True)
        self.check("certainty", 0, 1, open_low=True, open_high=True)

    @classmethod
    def paper(cls, backbone: str, dataset: str) -> Self:
        """The values of the authors' code for CIFAR-100."""
        alpha, temperature, factor = PUBLISHED.get(backbone, PUBLISHED["mobilenetv2"])
        return cls(alpha=alpha, temperature=temperature, multiplier=factor)
