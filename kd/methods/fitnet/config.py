"""FitNet: a stage of the student regresses one of the teacher (Romero et al. 2015)."""

from dataclasses import dataclass
from typing import ClassVar

from kd.errors import UserError
from kd.methods.config import EPOCHS, FeatureConfig


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """The weight of Tian et al. 2020, and where the hint is.

    Attributes:
        hint_stage: the stage of the student that is guided, counted from 1; the teacher's is as
            far from its end.
        hint_epochs: of a stage before the training, in which the student up to its hint is trained
            by the hint alone, as in the paper; Tian et al. train both at once.
    """

    in_epochs: ClassVar[tuple[str, ...]] = ("hint_epochs",)

    beta: float = 100.0
    hint_stage: int = 2
    hint_epochs: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("hint_stage", 1, 100)
        self.check("hint_epochs", 0, EPOCHS)

    def check_stages(self, own: int, taught: int) -> None:
        """Raise UserError unless both have the hint's stage."""
        if not own - taught < self.hint_stage <= own:
            raise UserError(
                f"kd.hint_stage is {self.hint_stage}, and the student has {own} stages, its "
                f"teacher {taught}; give one that both have."
            )
