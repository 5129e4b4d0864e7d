"""TTM, Transformed Teacher Matching (Zheng and Yang 2024)."""

from torch import Tensor

from kd.methods.base import Loss
from kd.methods.taught import LogitDistillation
from kd.methods.ttm.config import Config
from kd.parts.losses import cross_entropy, distillation_kl, log_probabilities


class TransformedTeacher(LogitDistillation[Config]):
    """r·CE + b·KL(q ‖ p_s), equation 12: q = softmax(γ·t), the student at T 1, no T²."""

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), labels (B,)."""
        hard = cross_entropy(logits, labels).mean()
        power = self.numbers["gamma"] * log_probabilities(teacher_logits)
        kl = distillation_kl(logits, power, 1.0)
        soft = (self.weights(power) * kl).mean()
        total = self.numbers["ce_weight"] * hard + self.numbers["beta"] * soft
        return Loss(total, {"loss_ce": hard, "loss_kl": soft})

    def weights(self, power: Tensor) -> Tensor | float:
        """Of each sample, by γ·log p_t (B, C)."""
        return 1.0


METHOD = TransformedTeacher
