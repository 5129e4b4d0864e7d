"""KD (Hinton et al. 2015)."""

from torch import Tensor

from kd.methods.base import Loss
from kd.methods.kd.config import Config
from kd.methods.taught import LogitDistillation
from kd.parts.losses import cross_entropy, distillation_kl


class KnowledgeDistillation(LogitDistillation[Config]):
    """(1−α)·CE + α·T²·KL_T(teacher ‖ student)."""

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), labels (B,)."""
        alpha, temperature = self.numbers["alpha"], self.numbers["temperature"]
        hard = cross_entropy(logits, labels).mean()
        kl = distillation_kl(logits, teacher_logits, temperature, soft=self.soft)
        soft = temperature**2 * kl.mean()
        return Loss((1 - alpha) * hard + alpha * soft, {"loss_ce": hard, "loss_kl": soft})


METHOD = KnowledgeDistillation
