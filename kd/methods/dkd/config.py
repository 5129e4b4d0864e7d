"""DKD, Decoupled Knowledge Distillation: of the label's class, and of all others."""

from dataclasses import dataclass
from typing import Self

from kd.methods.config import EPOCHS, USUAL_TEMPERATURES, WarmedConfig

BETAS = {
    ("resnet56", "resnet20"): 2.0,
    ("resnet110", "resnet32"): 2.0,
    ("vgg13", "vgg8"): 6.0,
    ("vgg13", "mobilenetv2_half"): 6.0,
    ("vgg13", "mobilenetv2_half_s2"): 6.0,
    ("wrn_40_2", "wrn_16_2"): 6.0,
    ("wrn_40_2", "wrn_40_1"): 6.0,
}
"""β of the pairs that have another one than 8 in the authors' `configs/cifar100/dkd`."""
OF_STUDENTS = {student: beta for (_, student), beta in BETAS.items()}


@dataclass(frozen=True, kw_only=True)
class Config(WarmedConfig):
    """The weights of Zhao et al. 2022, equation 7, and how they grow.

    Attributes:
        alpha: α, the weight of the label's part, TCKD.
        beta: β, the weight of the others' part, NCKD.
        temperature: T of both.
        warmup: W, the epochs in which both weights grow to their own.
        standardise: whether both networks' logits are standardised first (Sun et al. 2024); with
            it T 2, and α and β times 9, are usual.
    """

    alpha: float = 1.0
    beta: float = 8.0
    temperature: float = 4.0
    standardise: bool = False

    def __post_init__(self) -> None:
        self.check("alpha", 0, float("inf"))
        self.check("beta", 0, float("inf"))
        self.check("temperature", *USUAL_TEMPERATURES)
        self.check("warmup", 0, EPOCHS)

    @classmethod
    def paper(cls, backbone: str, dataset: str, teacher: str | None = None) -> Self:
        """The values of the authors' configurations, by the pair.

        Where the teacher is not known, those of a pair with that student.
        """
        if dataset == "imagenet":
            return cls(beta=0.5 if backbone == "resnet18" else 2.0, temperature=1.0, warmup=1)
        if teacher is None:
            return cls(beta=OF_STUDENTS.get(backbone, 8.0))
        return cls(beta=BETAS.get((teacher, backbone), 8.0))
