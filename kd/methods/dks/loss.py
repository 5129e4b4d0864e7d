"""DKS, Deeply-supervised Knowledge Synergy (Sun et al. 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kd.backbones.staged import StagedBackbone
from kd.methods.base import Batch, Loss, Method, Task
from kd.methods.dks.config import Config
from kd.parts.heads import EarlyHeads
from kd.parts.losses import cross_entropy, distillation_kl
from kd.parts.teacher import Teacher


class KnowledgeSynergy(Method[Config]):
    """Σ_i CE_i + β·T²·Σ_{i≠j} KL_T(sg z_j ‖ z_i), i and j of the backbone and the early heads.

    A head is the stages that follow, drawn anew; in the authors' code it is them at other depths.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.heads = EarlyHeads(student, task.num_classes)

    def forward(self, batch: Batch) -> Loss:
        """One pass of the backbone, and of a head after each of its stages but the last."""
        features = self.student.features(batch.images)
        logits = [seen.logits for seen in self.heads(features)]
        return self.loss(torch.stack([*logits, self.student.classify(features[-1])]), batch.labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Loss:
        """The loss of logits (L, B, C), the backbone's last, and labels (B,)."""
        temperature = self.numbers["temperature"]
        hard = cross_entropy(logits, labels.expand(logits.shape[:-1])).mean(-1).sum()
        # (L, L, B): of each with itself it is 0, and so is its gradient.
        kl = distillation_kl(
            logits.unsqueeze(1), logits.detach().unsqueeze(0), temperature, soft=self.soft
        )
        synergy = temperature**2 * kl.mean(-1).sum()
        terms = {"loss_ce": hard, "loss_synergy": synergy}
        return Loss(hard + self.numbers["beta"] * synergy, terms)


METHOD = KnowledgeSynergy
