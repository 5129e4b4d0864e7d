"""Tf-KD_reg, teacher-free distillation by a written teacher (Yuan et al. 2020)."""

import torch
from torch import Tensor

from kd.methods.base import Batch, Loss, Method
from kd.methods.tfkd_reg.config import Config
from kd.parts.losses import cross_entropy, distillation_kl, log_probabilities


class WrittenTeacher(Method[Config]):
    """(1−α)·CE + α·m·KL(u ‖ softmax s)/C, with u = softmax(v/τ) (equation 9, as in their code).

    v is `certainty` on the label and the rest spread evenly over the other classes.
    """

    def forward(self, batch: Batch) -> Loss:
        """The same in every epoch."""
        return self.loss(self.student(batch.images), batch.labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Loss:
        """Logits (B, C), labels (B,)."""
        classes, certainty = logits.shape[-1], self.numbers["certainty"]
        temperature = self.numbers["temperature"]
        hot = torch.zeros_like(log_probabilities(logits)).scatter(-1, labels.unsqueeze(-1), 1.0)
        teacher = hot * certainty + (1 - hot) * (1 - certainty) / max(classes - 1, 1)
        if self.config.form == "paper":
            taught = distillation_kl(logits, teacher.log(), temperature, soft=False).mean()
        else:
            # At a temperature of 1 for both: the teacher's probabilities are softened, as logits.
            kl = distillation_kl(logits, teacher / temperature, 1.0).mean()
            taught = self.numbers["multiplier"] * kl / classes
        hard = cross_entropy(logits, labels).mean()
        alpha = self.numbers["alpha"]
        return Loss((1 - alpha) * hard + alpha * taught, {"loss_ce": hard, "loss_kl": taught})


METHOD = WrittenTeacher
