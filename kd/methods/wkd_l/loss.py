"""WKD-L, Wasserstein distance for the distillation of logits (Lv et al. 2024)."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from kd.backbones.staged import StagedBackbone
from kd.methods.base import Batch, Loss, Task
from kd.methods.taught import LogitDistillation
from kd.methods.wkd_l.config import Config
from kd.parts.classes import feature_distances, first_of_each, weight_distances
from kd.parts.gather import gathered
from kd.parts.logits import label_cross_entropy, without
from kd.parts.losses import Number, cross_entropy, log_probabilities, product
from kd.parts.teacher import Teacher

OF_A_CLASS = 50
"""Images of each class by which the distances are found."""
SMALL = 1e-8


class WassersteinDistillation(LogitDistillation[Config]):
    """CE − p_t[y]·log p_s[y] + γ_e·W, W of the classes but the label's (equations 5 and 6).

    W is what Sinkhorn's iterations make it cost to move the teacher's softmax at T to the
    student's. The losses and gradients are compared with the authors' code; how D follows from the
    teacher's features is not, as that code reads it from a file.
    """

    distance: Tensor

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.register_buffer("distance", torch.zeros(task.num_classes, task.num_classes))

    def observe(self, batches: Iterable[Batch]) -> None:
        """The classes' distances D (C, C), by the teacher."""
        teacher = self.teachers[0]
        assert isinstance(teacher, Teacher)
        if self.config.class_distance == "weights":
            self.distance.copy_(weight_distances(teacher.network))
            return
        assert self.task.labels is not None
        chosen = first_of_each(self.task.labels, OF_A_CLASS)
        rows = []
        for batch in batches:
            among = chosen[batch.indices]
            rows.append((teacher.outputs(batch.images[among]).pooled, batch.labels[among]))
        features, labels = (gathered(torch.cat(part)) for part in zip(*rows, strict=True))
        self.distance.copy_(feature_distances(features, labels, self.task.num_classes))

    def scalars(self, epoch: int) -> dict[str, float]:
        """T, κ, ε, and γ_e."""
        return {**super().scalars(epoch), "gamma": self.gamma(epoch)}

    def gamma(self, epoch: int) -> float:
        """γ_e of epoch e, counted from 0."""
        start, end = self.config.decay_start * self.task.epochs, self.task.epochs
        if epoch + 1 <= start:
            return self.config.gamma
        past = (epoch + 1 - start) / (end - start)
        return self.config.gamma * 0.5 * (1 + math.cos(math.pi * past))

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), labels (B,)."""
        temperature = self.numbers["temperature"]
        hard = cross_entropy(logits, labels).mean()
        label = label_cross_entropy(logits, teacher_logits, labels).mean()
        s, t = (
            log_probabilities(without(z, labels, temperature), temperature).exp()
            for z in (logits, teacher_logits)
        )
        cost = torch.relu(1 - torch.exp(-self.numbers["sharpness"] * self.distance)) + SMALL
        moved = transport(
            s, t, labels, cost, self.numbers["regularisation"], self.config.iterations
        ).mean()
        total = hard + label + self.numbers["gamma"] * moved
        return Loss(total, {"loss_ce": hard, "loss_label": label, "loss_wasserstein": moved})


def transport(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    cost: Tensor,
    regularisation: Number,
    iterations: int,
) -> Tensor:
    """What it costs each row to move the teacher's masses to the student's, (B,).

    Masses (B, C), 0 at the label, so that its row and column of `cost` (C, C) take no part.
    """
    kernel = torch.exp(-cost / regularisation)
    others = torch.ones_like(student).scatter(-1, labels.unsqueeze(-1), 0.0)
    u = others / (student.shape[-1] - 1)
    for _ in range(iterations):
        v = teacher / (product(u, kernel) + SMALL)
        u = student / (product(v, kernel.T) + SMALL)
    moved: Tensor = (product(u, kernel * cost) * v).sum(-1)
    return moved


METHOD = WassersteinDistillation
