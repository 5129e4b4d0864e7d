"""DML, Deep Mutual Learning: networks of one form learn beside each other, and from each other."""

from dataclasses import dataclass

from kd.methods.config import TEMPERATURES, MethodConfig, Recipe, for_compact


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """How many networks learn, and how much from each other (Zhang et al. 2018).

    Attributes:
        networks: K, the student and its peers; the one that is best on val is handed out.
        beta: the weight of the divergences; 1 in the paper.
        temperature: T of them; 1 in the paper. They are multiplied by T².
    """

    networks: int = 2
    beta: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        self.check("networks", 2, 16)
        self.check("beta", 0, float("inf"))
        self.check("temperature", *TEMPERATURES)

    @classmethod
    def recipe_for(cls, backbone: str, dataset: str) -> Recipe:
        """That of the methods it is compared with, whose compact networks have a smaller rate."""
        return for_compact(super().recipe_for(backbone, dataset), backbone)
