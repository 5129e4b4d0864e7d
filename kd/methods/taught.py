"""What methods share that learn from a teacher: from its logits, or from its features."""

from abc import abstractmethod
from typing import TypeVar, cast

from torch import Tensor

from kd.backbones.staged import Outputs
from kd.methods.base import Batch, Loss, Method
from kd.methods.config import FeatureConfig, MethodConfig
from kd.parts.logits import standardised
from kd.parts.losses import cross_entropy, distillation_kl
from kd.parts.teacher import Teacher

C = TypeVar("C", bound=MethodConfig)
D = TypeVar("D", bound=FeatureConfig)


class LogitDistillation(Method[C]):
    """A loss of the student's and the teacher's logits, and the labels."""

    def forward(self, batch: Batch) -> Loss:
        """Both networks see the batch as it comes."""
        taught = self.teacher_logits(batch.images)
        return self.loss(self.student(batch.images), taught, batch.labels)

    @abstractmethod
    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), the teacher's without gradient; labels (B,)."""

    def compared(self, logits: Tensor, teacher_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Both logits as the distillation term takes them: standardised, where that is asked for.

        Sun et al. 2024, Logit Standardization in Knowledge Distillation. CE takes them as they are.
        """
        if getattr(self.config, "standardise", False):
            return standardised(logits), standardised(teacher_logits)
        return logits, teacher_logits


class FeatureDistillation(Method[D]):
    """γ·CE + α·T²·KL_T + β·L, where L relates what both networks say on the way."""

    def forward(self, batch: Batch) -> Loss:
        """Both networks see the batch as it comes."""
        return self.loss(self.student.outputs(batch.images), self.taught(batch), batch)

    def taught(self, batch: Batch) -> Outputs:
        """What the teacher says of the batch on the way, without gradient."""
        return self.teacher.outputs(batch.images)

    @property
    def teacher_shapes(self) -> Outputs:
        """The shapes of the teacher's outputs for one image."""
        return self.teacher.network.shapes(*self.task.images)

    @property
    def teacher(self) -> Teacher:
        """The first teacher."""
        return cast(Teacher, self.teachers[0])

    def loss(self, own: Outputs, taught: Outputs, batch: Batch) -> Loss:
        """The loss of both networks' outputs for a batch."""
        temperature = self.numbers["temperature"]
        hard = cross_entropy(own.logits, batch.labels).mean()
        kl = distillation_kl(own.logits, taught.logits, temperature, soft=self.soft).mean()
        apart = self.features(own, taught, batch)
        total = self.numbers["ce_weight"] * hard + self.numbers["beta"] * apart
        total = total + self.numbers["kd_weight"] * temperature**2 * kl
        return Loss(total, {"loss_ce": hard, "loss_kl": kl, "loss_features": apart})

    @abstractmethod
    def features(self, own: Outputs, taught: Outputs, batch: Batch) -> Tensor:
        """L of both networks' outputs for a batch: one number."""


def pairs(own: Outputs, taught: Outputs) -> list[tuple[Tensor, Tensor]]:
    """The stages of both, from the deepest on, as many as both have; shallow to deep."""
    count = min(len(own.stages), len(taught.stages))
    return list(zip(own.stages[-count:], taught.stages[-count:], strict=True))
