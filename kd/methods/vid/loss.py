"""VID, Variational Information Distillation (Ahn et al. 2019)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd.backbones.staged import Outputs, StagedBackbone
from kd.methods.base import Batch, Task
from kd.methods.taught import FeatureDistillation, pairs
from kd.methods.vid.config import Config
from kd.parts.relations import same_size, wide
from kd.parts.teacher import Teacher

SMALLEST = 1e-5
"""What is added to a variance."""


class VariationalInformation(FeatureDistillation[Config]):
    """L is −log of a Gaussian of the teacher's features given the student's (equations 5 and 6).

    For each pair of stages a small network predicts the mean, and each channel has a variance.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        shapes = pairs(student.shapes(*task.images), self.teacher_shapes)
        widths = [(own.shape[1], taught.shape[1]) for own, taught in shapes]
        self.gaussians = nn.ModuleList(Gaussian(*pair, config.variance) for pair in widths)

    def features(self, own: Outputs, taught: Outputs, batch: Batch) -> Tensor:
        """L of both networks' outputs for a batch."""
        found = zip(self.gaussians, pairs(own, taught), strict=True)
        return torch.stack([gaussian(*pair) for gaussian, pair in found]).sum()


class Gaussian(nn.Module):
    """The mean of −log p of a teacher's feature map, given a student's.

    Args:
        channels: of the student's.
        wanted: channels of the teacher's.
        variance: at the beginning.
    """

    def __init__(self, channels: int, wanted: int, variance: float) -> None:
        super().__init__()
        self.mean = nn.Sequential(
            nn.Conv2d(channels, wanted, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(wanted, wanted, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(wanted, wanted, 1, bias=False),
        )
        start = math.log(math.expm1(variance - SMALLEST))
        self.log_scale = nn.Parameter(torch.full((wanted,), start))

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """One number of feature maps (B, channels, H, W) and (B, wanted, H', W')."""
        student, teacher = same_size(student, teacher)
        mean = wide(self.mean(student))
        variance = (F.softplus(self.log_scale) + SMALLEST).view(1, -1, 1, 1)
        return (0.5 * ((mean - teacher).square() / variance + variance.log())).mean()


METHOD = VariationalInformation
