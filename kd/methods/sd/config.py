"""SD, snapshot distillation: what the network was at the end of a cycle teaches it in the next."""

from dataclasses import dataclass, replace
from typing import ClassVar

from kd.methods.config import EPOCHS, USUAL_TEMPERATURES, MethodConfig, Recipe, for_compact


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """Snapshot distillation as it is commonly stated (Yang et al. 2019).

    Neither the paper's text nor code was at hand: its λ, T and number of cycles were not
    verified, nor its recipe, which is that of the methods it is compared with, by a cosine.

    Attributes:
        cycles: mini-generations that the epochs are cut in, each with the whole course of the
            learning rate.
        ce_weight: λ_S, of CE.
        kd_weight: λ_T, of the divergence from the last cycle's snapshot.
        temperature: T, which divides the snapshot's logits alone.
    """

    takes_mixed: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = replace(
        Recipe(), optimizer=replace(Recipe().optimizer, schedule="cosine")
    )

    cycles: int = 4
    ce_weight: float = 1.0
    kd_weight: float = 1.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        self.check("cycles", 2, EPOCHS)
        self.check("ce_weight", 0, float("inf"))
        self.check("kd_weight", 0, float("inf"))
        self.check("temperature", *USUAL_TEMPERATURES)

    @classmethod
    def recipe_for(cls, backbone: str, dataset: str) -> Recipe:
        """That of the methods it is compared with, whose compact networks have a smaller rate."""
        return for_compact(super().recipe_for(backbone, dataset), backbone)
