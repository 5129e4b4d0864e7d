"""DDGSD, Data-Distortion Guided Self-Distillation (Xu & Liu 2019)."""

import torch
from torch import Tensor

from kd.methods.base import Batch, Loss, Method
from kd.methods.ddgsd.config import Config
from kd.parts.gather import gathered
from kd.parts.losses import cross_entropy, distillation_kl
from kd.parts.relations import wide


class DistortionGuided(Method[Config]):
    """½(CE_a + CE_b) + β·T²·(KL_T(sg b ‖ a) + KL_T(sg a ‖ b)) + μ·(mean f_a − mean f_b)².

    a and b are two augmented views of the same images, f their pooled features, whose mean is that
    of all images and units, as in the public code.
    """

    def forward(self, batch: Batch) -> Loss:
        """One pass of both views."""
        (second,) = batch.views
        outputs = self.student.outputs(torch.cat([batch.images, second]))
        logits, pooled = (torch.stack(x.chunk(2)) for x in (outputs.logits, outputs.pooled))
        return self.loss(logits, pooled, batch.labels)

    def loss(self, logits: Tensor, features: Tensor, labels: Tensor) -> Loss:
        """The loss of logits (2, B, C) and features (2, B, D) of both views, and labels (B,)."""
        temperature = self.numbers["temperature"]
        hard = cross_entropy(logits, labels.expand(logits.shape[:-1])).mean()
        kl = distillation_kl(logits, logits.flip(0).detach(), temperature, soft=self.soft)
        kl = temperature**2 * kl.mean(-1).sum()
        means = [gathered(wide(view).mean(-1)).mean() for view in features]
        apart = (means[0] - means[1]).square()
        numbers = self.numbers
        total = numbers["ce_weight"] * hard + numbers["beta"] * kl + numbers["mu"] * apart
        return Loss(total, {"loss_ce": hard, "loss_kl": kl, "loss_features": apart})


METHOD = DistortionGuided
