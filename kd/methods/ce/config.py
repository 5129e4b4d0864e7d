"""Plain cross-entropy, with label smoothing if asked: the baseline."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from kd.methods.config import MethodConfig


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """Cross-entropy with label smoothing (Szegedy et al. 2016, section 7).

    Attributes:
        label_smoothing: ε, the mass that the label gives away; 0 is plain cross-entropy.
        smoothing_spread: where it goes: `uniform` is ε/C to every class, the label's own
            included; `others` is ε/(C−1) to every other class.
    """

    takes_mixed: ClassVar[bool] = True

    label_smoothing: float = 0.0
    smoothing_spread: Literal["uniform", "others"] = "uniform"

    def __post_init__(self) -> None:
        self.check("label_smoothing", 0, 1)
