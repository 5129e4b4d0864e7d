"""KD (Hinton et al. 2015)."""

from torch import Tensor

from kd.methods.base import Loss
from kd.methods.kd.config import Config
from kd.methods.taught import LogitDistillation
from kd.parts.losses import cross_entropy, distillation_kl


class KnowledgeDistillation(LogitDistillation[Config]):
    """(1−α)·CE + α·m·T²·KL_T(teacher ‖ student), with m = 1."""

    def scalars(self, epoch: int) -> dict[str, float]:
        """T, and the weights of both terms."""
        hard, soft = self.config.weights
        return {**super().scalars(epoch), "hard": hard, "soft": soft}

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), labels (B,)."""
        temperature = self.numbers["temperature"]
        hard = cross_entropy(logits, labels).mean()
        student, teacher = self.compared(logits, teacher_logits)
        kl = distillation_kl(student, teacher, temperature, soft=self.soft)
        soft = temperature**2 * kl.mean()
        total = self.numbers["hard"] * hard + self.numbers["soft"] * soft
        return Loss(total, {"loss_ce": hard, "loss_kl": soft})


METHOD = KnowledgeDistillation
