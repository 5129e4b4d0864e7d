"""HSAKD: a teacher's heads tell labels and rotations, and teach a student's heads."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from kd.methods.config import EPOCHS, TurnedConfig


@dataclass(frozen=True, kw_only=True)
class Config(TurnedConfig):
    """The weights of Yang et al. 2021, and how long the teacher's heads are trained before.

    Attributes:
        head_epochs: of a stage in which the teacher's heads are trained on it; the teacher itself
            stays as it is, as in the first of the authors' two forms.
    """

    in_epochs: ClassVar[tuple[str, ...]] = ("head_epochs",)
    beginning: ClassVar[tuple[str, ...] | None] = ("head_epochs",)

    teacher: ClassVar[Literal["none", "self", "network"]] = "network"

    head_epochs: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("head_epochs", 1, EPOCHS)
