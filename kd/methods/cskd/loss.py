"""CS-KD, Class-wise Self-Knowledge Distillation (Yun et al. 2020)."""

import torch
from torch import Tensor

from kd.methods.base import Batch, Loss, Method
from kd.methods.cskd.config import Config
from kd.parts.losses import cross_entropy, distillation_kl


class ClassWise(Method[Config]):
    """CE + λ·T²·KL_T(sg f(x′) ‖ f(x)), x′ another image of the class (equation 3)."""

    def forward(self, batch: Batch) -> Loss:
        """Both images in train mode, the partner without gradient."""
        assert batch.partners is not None
        with torch.no_grad():
            partner = self.student(batch.partners)
        return self.loss(self.student(batch.images), partner, batch.labels)

    def loss(self, logits: Tensor, partner_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), labels (B,)."""
        temperature = self.numbers["temperature"]
        hard = cross_entropy(logits, labels).mean()
        kl = distillation_kl(logits, partner_logits.detach(), temperature, soft=self.soft)
        soft = temperature**2 * kl.mean()
        return Loss(hard + self.numbers["weight"] * soft, {"loss_ce": hard, "loss_kl": soft})


METHOD = ClassWise
