"""CTKD, Curriculum Temperature: a learnable temperature climbs the student's loss."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from kd.errors import UserError
from kd.methods.config import EPOCHS, USUAL_TEMPERATURES, LogitConfig


@dataclass(frozen=True, kw_only=True)
class Config(LogitConfig):
    """The weights and the curriculum of Li et al. 2023, equations 5 to 7, with the global T.

    Attributes:
        ce_weight: of CE.
        kd_weight: of the distillation term.
        lowest_temperature: T₀; T = T₀ + T₁·σ(θ), and θ begins at 1.
        temperature_range: T₁.
        curriculum: E_λ, the epochs in which the gradient of θ grows to its whole size.
        curriculum_schedule: how; `linear` ends at −(E_λ−1)/E_λ, as in the authors' code.
        term: what distils: T²·KL_T, or DKD's α·TCKD + β·NCKD.
        alpha: α of DKD.
        beta: β of DKD.
        standardise: whether both networks' logits are standardised first (Sun et al. 2024).
    """

    in_epochs: ClassVar[tuple[str, ...]] = ("curriculum",)

    ce_weight: float = 0.1
    kd_weight: float = 0.9
    lowest_temperature: float = 1.0
    temperature_range: float = 20.0
    curriculum: int = 10
    curriculum_schedule: Literal["cosine", "linear"] = "cosine"
    term: Literal["kd", "dkd"] = "kd"
    alpha: float = 1.0
    beta: float = 2.0
    standardise: bool = False

    def __post_init__(self) -> None:
        for name in ("ce_weight", "kd_weight", "alpha", "beta", "temperature_range"):
            self.check(name, 0, float("inf"))
        self.check("lowest_temperature", *USUAL_TEMPERATURES)
        self.check("curriculum", 1, EPOCHS)
        highest = self.lowest_temperature + self.temperature_range
        if highest > USUAL_TEMPERATURES[1]:
            raise UserError(
                f"kd.lowest_temperature and kd.temperature_range come to {highest:g}; together "
                f"they must be at most {USUAL_TEMPERATURES[1]:g}."
            )

    @classmethod
    def paper(cls, backbone: str, dataset: str, teacher: str | None = None) -> Self:
        """The values of the authors' scripts, for CIFAR-100 and for `imagenet`."""
        return cls(ce_weight=1.0, kd_weight=1.0, curriculum=5) if dataset == "imagenet" else cls()
