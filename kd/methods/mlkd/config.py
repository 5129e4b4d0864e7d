"""MLKD, Multi-Level Logit Distillation: of samples, of classes and of the batch."""

from dataclasses import dataclass
from typing import Self

from kd.data.needs import Needs
from kd.methods.config import USUAL_TEMPERATURES, LogitConfig


@dataclass(frozen=True, kw_only=True)
class Config(LogitConfig):
    """The weights of Jin et al. 2023, in the form of their code.

    Attributes:
        ce_weight: c, of CE.
        kd_weight: k, of all that is distilled.
        temperature: T₀, beside which 3, 5, 2 and 6 are always taken.
        second_view: whether another augmented view of each image teaches too, as in the authors'
            code, where it is a strong one; without it the form is that of Sun et al. 2024 (RLD).
        second_relations: whether the relations of classes and batch are taken of that view too:
            the authors' code computes them, and never adds them.
        standardise: whether both networks' logits are standardised for the samples' part (Sun et
            al. 2024).
    """

    ce_weight: float = 0.1
    kd_weight: float = 0.9
    temperature: float = 4.0
    second_view: bool = False
    second_relations: bool = False
    standardise: bool = False

    def __post_init__(self) -> None:
        self.check("ce_weight", 0, float("inf"))
        self.check("kd_weight", 0, float("inf"))
        self.check("temperature", *USUAL_TEMPERATURES)

    @property
    def needs(self) -> Needs:
        """Two views, where the second one teaches too."""
        return Needs(views=2) if self.second_view else Needs()

    @classmethod
    def paper(cls, backbone: str, dataset: str, teacher: str | None = None) -> Self:
        """The values of the authors' code, on `imagenet` those of its configurations."""
        if dataset == "imagenet":
            return cls(ce_weight=0.5, kd_weight=0.5, temperature=1.0)
        return cls()
