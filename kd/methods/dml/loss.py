"""DML, Deep Mutual Learning (Zhang et al. 2018)."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone
from kd.methods.base import Batch, Loss, Method, Task
from kd.methods.dml.config import Config
from kd.parts.losses import cross_entropy, distillation_kl
from kd.parts.teacher import Teacher


class MutualLearning(Method[Config]):
    """Σ_i CE_i + β·T²/(K−1)·Σ_{j≠i} KL_T(sg s_j ‖ s_i) (equations 8 and 11), the exact divergence.

    All networks see the same images and are updated from one forward pass, as in the authors'
    code; the paper's listing updates them one after another.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.peers = nn.ModuleList(task.build_network() for _ in range(config.networks - 1))

    def candidates(self) -> dict[str, StagedBackbone]:
        """All networks learn alike, so that any of them may turn out to be the best."""
        peers = {f"peers.{n}": cast(StagedBackbone, peer) for n, peer in enumerate(self.peers)}
        return {"student": self.student, **peers}

    def forward(self, batch: Batch) -> Loss:
        """Every network sees the batch as it comes."""
        logits = [network(batch.images) for network in (self.student, *self.peers)]
        return self.loss(torch.stack(logits), batch.labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Loss:
        """The loss of logits (K, B, C), the student's first, and labels (B,)."""
        hard, apart = self.of_each(logits, labels)
        total = (hard + self.numbers["beta"] * apart).sum()
        terms = {"loss_ce": hard[0], "loss_kl": apart[0], "loss_peers": hard[1:].mean()}
        return Loss(total, terms)

    def of_each(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """CE, and the mean divergence from the others, of every network: (K,) each."""
        temperature, count = self.numbers["temperature"], len(logits)
        hard = cross_entropy(logits, labels.expand(logits.shape[:-1])).mean(-1)
        apart = []
        for i in range(count):
            peers = torch.cat([logits[:i], logits[i + 1 :]]).detach()
            kl = distillation_kl(logits[i], peers, temperature, soft=self.soft)
            apart.append(temperature**2 * kl.mean())
        return hard, torch.stack(apart)


METHOD = MutualLearning
