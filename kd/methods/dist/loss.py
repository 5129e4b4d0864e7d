"""DIST, Knowledge Distillation from A Stronger Teacher (Huang et al. 2022)."""

from torch import Tensor

from kd.methods.base import Loss
from kd.methods.dist.config import Config
from kd.methods.taught import LogitDistillation
from kd.parts.logits import correlation_loss
from kd.parts.losses import cross_entropy


class RelationDistillation(LogitDistillation[Config]):
    """CE + w·(β·inter + γ·intra), equation 10: τ²·(1 − Pearson's ρ) of rows and of columns."""

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), labels (B,)."""
        hard = cross_entropy(logits, labels).mean()
        inter, intra = correlation_loss(logits, teacher_logits, self.numbers["temperature"])
        taught = self.numbers["beta"] * inter + self.numbers["gamma"] * intra
        total = hard + self.numbers["weight"] * taught
        return Loss(total, {"loss_ce": hard, "loss_inter": inter, "loss_intra": intra})


METHOD = RelationDistillation
