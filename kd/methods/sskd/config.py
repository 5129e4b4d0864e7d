"""SSKD: which views of a batch a teacher finds alike, as a head on it was taught to tell."""

from dataclasses import dataclass
from typing import ClassVar

from kd.data.needs import Needs
from kd.methods.config import EPOCHS, USUAL_TEMPERATURES, TaughtConfig


@dataclass(frozen=True, kw_only=True)
class Config(TaughtConfig):
    """The weights of Xu et al. 2020, as in their code.

    Attributes:
        ce_weight: of CE, of the views that are not turned.
        kd_weight: of KL from the teacher, of the views that are not turned.
        turned_weight: of KL from the teacher, of those that are.
        similarity_weight: of KL between the similarities of turned views to all that are not.
        temperature: T of both KL from the teacher's logits.
        similarity_temperature: T of the similarities.
        turned_kept: the share of the turned views that the teacher gets wrong, of which is learnt.
        similarity_kept: the share of them whose own image the teacher does not find first.
        head_epochs: of a stage before, in which the teacher's head is trained.
    """

    least_stages: ClassVar[int] = 1
    in_epochs: ClassVar[tuple[str, ...]] = ("head_epochs",)
    beginning: ClassVar[tuple[str, ...] | None] = ("head_epochs",)

    ce_weight: float = 0.1
    kd_weight: float = 0.9
    turned_weight: float = 2.7
    similarity_weight: float = 10.0
    temperature: float = 4.0
    similarity_temperature: float = 0.5
    turned_kept: float = 1.0
    similarity_kept: float = 0.75
    head_epochs: int = 60

    def __post_init__(self) -> None:
        for name in ("ce_weight", "kd_weight", "turned_weight", "similarity_weight"):
            self.check(name, 0, float("inf"))
        for name in ("temperature", "similarity_temperature"):
            self.check(name, *USUAL_TEMPERATURES)
        for name in ("turned_kept", "similarity_kept"):
            self.check(name, 0, 1)
        self.check("head_epochs", 1, EPOCHS)

    @property
    def needs(self) -> Needs:
        """Images that can be turned by quarters."""
        return Needs(square=True)
