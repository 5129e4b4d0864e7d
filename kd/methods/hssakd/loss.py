"""HSSAKD, HSAKD of two networks that learn beside each other (Yang et al. 2021)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kd.backbones.staged import StagedBackbone
from kd.data.augment import rotate4
from kd.methods.base import Batch, Loss, Method, Task
from kd.methods.hssakd.config import Config
from kd.parts.rotations import JointHeads, Turned, turned_cross_entropy, turned_divergence
from kd.parts.teacher import Teacher


class MutualSelfSupervised(Method[Config]):
    """Of each network CE + Σ_l CE(q_l) + α·T²·KL_T + β·Σ_l T²·KL_T, from what the other says.

    The second network is of the student's form, and only the student is handed out. CE is that of
    the views that are not turned, q_l what the head after stage l says of label and rotation.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.peer = task.build_network()
        self.heads = JointHeads(student, task.num_classes)
        self.peer_heads = JointHeads(self.peer, task.num_classes)

    def forward(self, batch: Batch) -> Loss:
        """One pass of each network over the 4·B views."""
        views = rotate4(batch.images)
        own = self.heads.turned(self.student.outputs(views))
        return self.loss(own, self.peer_heads.turned(self.peer.outputs(views)), batch.labels)

    def loss(self, own: Turned, peer: Turned, labels: Tensor) -> Loss:
        """The loss of what both networks say, and labels (B,)."""
        totals: list[Tensor] = []
        terms: dict[str, Tensor] = {}
        for name, one, other in (("", own, peer), ("peer_", peer, own)):
            classes, joint = turned_cross_entropy(one, labels)
            fixed = Turned(*(part.detach() for part in other))
            kl, heads = turned_divergence(one, fixed, self.numbers["temperature"], self.soft)
            apart = self.numbers["alpha"] * kl + self.numbers["beta"] * heads
            totals.append(classes + joint + apart)
            terms |= {f"loss_{name}cls": classes + joint, f"loss_{name}div": apart}
        return Loss(torch.stack(totals).sum(), terms)


METHOD = MutualSelfSupervised
