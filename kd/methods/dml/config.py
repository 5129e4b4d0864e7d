"""DML, Deep Mutual Learning: networks of one form learn beside each other, and from each other."""

from dataclasses import dataclass

from kd.methods.config import TEMPERATURES, MethodConfig


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """How many networks learn, and how much from each other (Zhang et al. 2018).

    Attributes:
        networks: K, the student and its peers; only the student is handed out.
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
