"""SD, snapshot distillation (Yang et al. 2019)."""

from collections.abc import Iterable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone
from kd.methods.base import Batch, Loss, Method, Task
from kd.methods.sd.config import Config
from kd.optimizer import cycle
from kd.parts.losses import cross_entropy, distillation_kl, log_probabilities
from kd.parts.teacher import Teacher


class SnapshotDistillation(Method[Config]):
    """λ_S·CE + λ_T·KL(softmax(t/T) ‖ softmax(s)), t of the snapshot that the last cycle ended with.

    Nothing teaches in the first cycle.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.snapshot = deepcopy(student).requires_grad_(False)

    def at_rest(self) -> Iterable[nn.Module]:
        """The snapshot."""
        return (self.snapshot,)

    def scalars(self, epoch: int) -> dict[str, float]:
        """λ_T is 0 until there is a snapshot."""
        begin, _ = self._cycle(epoch)
        numbers = super().scalars(epoch)
        return numbers if begin else {**numbers, "kd_weight": 0.0}

    def begin_epoch(self, epoch: int) -> None:
        """Look whether a cycle ends with it."""
        super().begin_epoch(epoch)
        self._ends = epoch + 1 == self._cycle(epoch)[1]

    def end_epoch(self) -> None:
        """Take the snapshot, in place, where a cycle ends."""
        super().end_epoch()
        if self._ends:
            self.snapshot.load_state_dict(self.student.state_dict())

    def _cycle(self, epoch: int) -> tuple[int, int]:
        return cycle(epoch, self.task.epochs, self.config.cycles)

    def forward(self, batch: Batch) -> Loss:
        """Both networks see the batch as it comes."""
        with torch.no_grad():
            taught = self.snapshot(batch.images)
        return self.loss(self.student(batch.images), taught, batch.labels)

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), the snapshot's without gradient; labels (B,)."""
        hard = cross_entropy(logits, labels).mean()
        taught = log_probabilities(teacher_logits, self.numbers["temperature"])
        kl = distillation_kl(logits, taught, 1.0).mean()
        total = self.numbers["ce_weight"] * hard + self.numbers["kd_weight"] * kl
        return Loss(total, {"loss_ce": hard, "loss_kl": kl})


METHOD = SnapshotDistillation
