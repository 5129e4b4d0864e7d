"""BAN, born-again networks: generations of one network, each taught by the one before."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from kd.methods.config import EPOCHS, MethodConfig, Recipe, for_compact


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """Born-again networks as they are commonly stated (Furlanello et al. 2018).

    Neither the paper's text nor code was at hand to check them by; the recipe is that of the
    methods that they are compared with.

    Attributes:
        label_weight: λ, of CE to the labels beside what is learnt from the teacher; 0 is BAN, and
            1 BAN+L.
        form: what is learnt: `predictions`, the teacher's; `weighted`, the labels, each image
            counting by the teacher's confidence in its highest class (CWTM); `permuted`, the
            teacher's predictions, those below the highest in random order (DKPP).
        generations: which one the student is, the self-teacher being generation 0; those between
            them are trained before it.
        generation_epochs: of each of those between them.
    """

    takes_mixed: ClassVar[bool] = True
    teacher: ClassVar[Literal["none", "self", "network"]] = "self"
    in_epochs: ClassVar[tuple[str, ...]] = ("generation_epochs",)

    label_weight: float = 0.0
    form: Literal["predictions", "weighted", "permuted"] = "predictions"
    generations: int = 1
    generation_epochs: int = MethodConfig.recipe.epochs

    def __post_init__(self) -> None:
        self.check("label_weight", 0, float("inf"))
        self.check("generations", 1, 16)
        self.check("generation_epochs", 1, EPOCHS)

    @classmethod
    def recipe_for(cls, backbone: str, dataset: str) -> Recipe:
        """That of the methods it is compared with, whose compact networks have a smaller rate."""
        return for_compact(super().recipe_for(backbone, dataset), backbone)

    @classmethod
    def paper(cls, backbone: str, dataset: str) -> Self:
        """All generations are trained for as long as the student."""
        return cls(generation_epochs=cls.recipe_for(backbone, dataset).epochs)
