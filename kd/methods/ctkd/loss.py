"""CTKD, Curriculum Temperature for Knowledge Distillation (Li et al. 2023)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone
from kd.methods.base import Loss, Task
from kd.methods.ctkd.config import Config
from kd.methods.taught import LogitDistillation
from kd.parts.logits import one_and_rest_kl, without
from kd.parts.losses import cross_entropy, distillation_kl
from kd.parts.teacher import Teacher


class CurriculumTemperature(LogitDistillation[Config]):
    """c·CE + k·T²·KL_T with T = T₀ + T₁·σ(θ), equation 5.

    θ is trained with the student, and its gradient is multiplied by λ_e, which falls from 0 to −1
    in the first E_λ epochs by a cosine (equation 7): so θ makes the task harder.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.theta = nn.Parameter(torch.ones(()))

    def scalars(self, epoch: int) -> dict[str, float]:
        """The weights, the range of T, and λ_e."""
        return {**super().scalars(epoch), "reversal": self.reversal(epoch)}

    def reversal(self, epoch: int) -> float:
        """λ_e of epoch e, counted from 0."""
        end = self.config.curriculum
        if self.config.curriculum_schedule == "linear":
            return -min(epoch + 1, end - 1) / end
        return -0.5 * (1 - math.cos(math.pi * min(epoch + 1, end) / end))

    @property
    def temperature(self) -> Tensor:
        """T, whose gradient is already multiplied by λ_e."""
        raised = self.theta * self.numbers["reversal"]
        theta = self.theta.detach() + raised - raised.detach()
        span = self.numbers["temperature_range"]
        return self.numbers["lowest_temperature"] + span * torch.sigmoid(theta)

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), labels (B,)."""
        hard, temperature = cross_entropy(logits, labels).mean(), self.temperature
        student, teacher = self.compared(logits, teacher_logits)
        if self.config.term == "kd":
            kl = distillation_kl(student, teacher, temperature, soft=False).mean()
        else:
            label = one_and_rest_kl(student, teacher, labels, labels, temperature).mean()
            s, t = (without(z, labels, temperature) for z in (student, teacher))
            others = distillation_kl(s, t, temperature, soft=False).mean()
            kl = self.numbers["alpha"] * label + self.numbers["beta"] * others
        soft = temperature**2 * kl
        total = self.numbers["ce_weight"] * hard + self.numbers["kd_weight"] * soft
        terms = {"loss_ce": hard, "loss_kl": soft, "temperature": temperature}
        return Loss(total, terms)


METHOD = CurriculumTemperature
