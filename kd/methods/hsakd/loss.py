"""HSAKD, Hierarchical Self-supervised Augmented Knowledge Distillation (Yang et al. 2021)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone
from kd.data.augment import rotate4
from kd.methods.base import MAIN, Batch, Loss, Method, ParameterGroup, Phase, Task
from kd.methods.hsakd.config import Config
from kd.parts.rotations import JointHeads, Turned, turned_cross_entropy, turned_divergence
from kd.parts.teacher import Teacher


class HierarchicalSelfSupervised(Method[Config]):
    """CE + α·T²·KL_T(z_t ‖ z_s) of all 4 views + β·Σ_l T²·KL_T(q_l,t ‖ q_l,s) (equations 5 to 8).

    Heads after the stages of both networks predict label and rotation together; they are paired
    from the deepest on, as many as both networks have. The teacher's learn in a stage of their own.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        network = self._teacher.network
        count = min(len(student.stages), len(network.stages))
        self.heads = JointHeads(student, task.num_classes, count)
        self.teacher_heads = JointHeads(network, task.num_classes, count)

    @property
    def _teacher(self) -> Teacher:
        return cast(Teacher, self.teachers[0])

    def phases(self) -> tuple[Phase, ...]:
        """The teacher's heads, with the authors' milestones."""
        optimizer = replace(self.config.recipe.optimizer, milestones=(0.3, 0.6, 0.9))
        return (Phase(name="heads", epochs=self.config.head_epochs, optimizer=optimizer),)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The teacher's heads in their own stage, then the student and its heads."""
        parts: list[nn.Module] = [self.teacher_heads]
        if self.phase == MAIN:
            parts = [self.student, self.heads]
        return [ParameterGroup(parameters=[p for part in parts for p in part.parameters()])]

    def at_rest(self) -> Iterable[nn.Module]:
        """The teacher's heads, when they teach."""
        return (self.teacher_heads,) if self.phase == MAIN else ()

    def forward(self, batch: Batch) -> Loss:
        """One pass of each network over the 4·B views."""
        views = rotate4(batch.images)
        if self.phase != MAIN:
            taught = self.teacher_heads.turned(self._teacher.outputs(views))
            _, joint = turned_cross_entropy(taught, batch.labels)
            return Loss(joint, {"loss_heads": joint})
        with torch.no_grad():
            taught = self.teacher_heads.turned(self._teacher.outputs(views))
        return self.loss(self.heads.turned(self.student.outputs(views)), taught, batch.labels)

    def loss(self, own: Turned, taught: Turned, labels: Tensor) -> Loss:
        """The loss of what both networks say, and labels (B,)."""
        temperature = self.numbers["temperature"]
        hard, _ = turned_cross_entropy(own, labels)
        kl, heads = turned_divergence(own, taught, temperature, self.soft)
        total = hard + self.numbers["alpha"] * kl + self.numbers["beta"] * heads
        return Loss(total, {"loss_ce": hard, "loss_kl": kl, "loss_heads": heads})


METHOD = HierarchicalSelfSupervised
