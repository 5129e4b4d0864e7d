"""AB, Activation Boundaries: the student first learns where the teacher's neurons switch on."""

from dataclasses import dataclass
from typing import ClassVar

from kd.methods.config import EPOCHS, FeatureConfig


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """The first stage of Heo et al. 2019, in the form of Tian et al. 2020.

    Attributes:
        beta: β, of the boundaries, in the main training; they are left out of it.
        margin: μ, how far from 0 an activation is to be.
        boundary_epochs: of the first stage, which has the boundaries alone.
    """

    in_epochs: ClassVar[tuple[str, ...]] = ("boundary_epochs",)

    beta: float = 0.0
    margin: float = 1.0
    boundary_epochs: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("margin", 0, 1e6, open_low=True)
        self.check("boundary_epochs", 0, EPOCHS)
