"""AB, Activation Boundaries (Heo et al. 2019)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from kd.backbones.staged import Outputs, StagedBackbone
from kd.methods.ab.config import Config
from kd.methods.base import MAIN, Batch, Loss, ParameterGroup, Phase, Task
from kd.methods.taught import FeatureDistillation, pairs
from kd.parts.relations import boundary_distance
from kd.parts.teacher import Teacher


class ActivationBoundaries(FeatureDistillation[Config]):
    """L is the distance to the right side of each boundary, before the stages' activations.

    A 1×1 convolution with BN leads from each of the student's stages to the teacher's width. It is
    learnt in a stage of its own before the training, at a constant rate.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        shapes = pairs(student.shapes(*task.images), self.teacher_shapes)
        self.connectors = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(own.shape[1], taught.shape[1], 1, bias=False),
                nn.BatchNorm2d(taught.shape[1]),
            )
            for own, taught in shapes
        )

    def phases(self) -> tuple[Phase, ...]:
        """The boundaries' own stage, where it has epochs."""
        optimizer = replace(self.config.recipe.optimizer, milestones=())
        return (Phase(name="boundaries", epochs=self.config.boundary_epochs, optimizer=optimizer),)

    def parameter_groups(self) -> list[ParameterGroup]:
        """In the boundaries' stage all but the classifier; then what still learns."""
        parts = [self.student.stem, self.student.stages, self.connectors]
        if self.phase == MAIN:
            parts = [self.student, self.connectors] if self.config.beta else [self.student]
        return [ParameterGroup(parameters=[p for part in parts for p in part.parameters()])]

    def forward(self, batch: Batch) -> Loss:
        """The boundaries alone in their own stage."""
        if self.phase == MAIN:
            return super().forward(batch)
        own, taught = self.student.outputs(batch.images), self.taught(batch)
        apart = self.features(own, taught, batch)
        return Loss(apart, {"loss_features": apart})

    def features(self, own: Outputs, taught: Outputs, batch: Batch) -> Tensor:
        """L of both networks' outputs for a batch."""
        before = list(
            pairs(
                own._replace(stages=own.pre_activations),
                taught._replace(stages=taught.pre_activations),
            )
        )
        found = [
            scale * boundary_distance(connector(student), teacher, self.numbers["margin"])
            for scale, connector, (student, teacher) in zip(
                scales(len(before)), self.connectors, before, strict=True
            )
        ]
        return torch.stack(found).sum()


def scales(count: int) -> list[float]:
    """The weight of each stage, halved from one to the one before it; 3/1000 of the last."""
    return [2.0 ** (index - count + 1) * 3 / 1000 for index in range(count)]


METHOD = ActivationBoundaries
