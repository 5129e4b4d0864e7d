"""Focal loss: what is already classified well counts less."""

from dataclasses import dataclass

from kd.methods.config import MethodConfig


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """The focusing of Lin et al. 2017, equation 4.

    Attributes:
        focus: γ; 0 is cross-entropy.
    """

    focus: float = 2.0

    def __post_init__(self) -> None:
        self.check("focus", 0, 20)
