"""What methods share that learn from a teacher's logits."""

from abc import abstractmethod
from typing import TypeVar

from torch import Tensor

from kd.methods.base import Batch, Loss, Method
from kd.methods.config import MethodConfig
from kd.parts.logits import standardised

C = TypeVar("C", bound=MethodConfig)


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
