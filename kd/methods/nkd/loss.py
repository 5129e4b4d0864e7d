"""NKD, Normalized Knowledge Distillation (Yang et al. 2023)."""

from torch import Tensor

from kd.methods.base import Loss
from kd.methods.nkd.config import Config
from kd.methods.taught import LogitDistillation
from kd.parts.logits import label_cross_entropy, others_cross_entropy
from kd.parts.losses import cross_entropy


class NormalizedDistillation(LogitDistillation[Config]):
    """CE − p_t[y]·log p_s[y] + γ·T²·CE_T over the classes but the label's, equation 7.

    Cross-entropies, not divergences: they are not 0 where student and teacher agree.
    """

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), labels (B,)."""
        temperature = self.numbers["temperature"]
        hard = cross_entropy(logits, labels).mean()
        label = label_cross_entropy(logits, teacher_logits, labels).mean()
        others = others_cross_entropy(logits, teacher_logits, labels, temperature).mean()
        rest = self.numbers["gamma"] * temperature**2 * others
        return Loss(hard + label + rest, {"loss_ce": hard, "loss_label": label, "loss_rest": rest})


METHOD = NormalizedDistillation
