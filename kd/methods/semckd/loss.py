"""SemCKD, Cross-Layer Distillation with Semantic Calibration (Chen et al. 2021)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd.backbones.staged import Outputs, StagedBackbone
from kd.methods.base import Batch, Task
from kd.methods.semckd.config import Config
from kd.methods.taught import FeatureDistillation
from kd.parts.gather import gathered
from kd.parts.losses import product
from kd.parts.relations import same_size, wide
from kd.parts.teacher import Teacher


class SemanticCalibration(FeatureDistillation[Config]):
    """L is the squared error of every stage by every stage, weighted by attention (equation 8).

    A regressor of three convolutions leads from each stage of the student to each of the teacher's;
    the larger map is pooled to the smaller. The attention of a sample compares, for every two
    stages, how it resembles the others of its batch in both: each row of similarities goes through
    a small network, whose input is a full batch. A row is filled with zeros where there are fewer,
    and cut where the few that would have been left at the end of an epoch have joined the batch.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        own, taught = student.shapes(*task.images).stages, self.teacher_shapes.stages
        self.queries = nn.ModuleList(embedding(task.batch_size) for _ in own)
        self.keys = nn.ModuleList(embedding(task.batch_size) for _ in taught)
        self.regressors = nn.ModuleList(
            nn.ModuleList(regressor(s.shape[1], t.shape[1]) for t in taught) for s in own
        )

    def features(self, own: Outputs, taught: Outputs, batch: Batch) -> Tensor:
        """L of both networks' outputs for a batch."""
        found = []
        for student, regressors in zip(own.stages, self.regressors, strict=True):
            assert isinstance(regressors, nn.ModuleList)
            for teacher, regress in zip(taught.stages, regressors, strict=True):
                first, second = same_size(student, teacher)
                found.append((regress(first), second))
        return calibrated_distance(found, self.attention(own, taught))

    def attention(self, own: Outputs, taught: Outputs) -> Tensor:
        """How much each stage of the student takes from each of the teacher's: (B, L_s, L_t)."""
        query = self._embedded(own.stages, self.queries)
        key = self._embedded(taught.stages, self.keys)
        return torch.softmax(product(query, key.transpose(1, 2)), dim=-1)

    def _embedded(self, stages: Sequence[Tensor], embeddings: nn.ModuleList) -> Tensor:
        """What the similarities within a batch say of each sample, stage by stage: (B, L, D)."""
        each = []
        for stage, embed in zip(stages, embeddings, strict=True):
            rows = wide(stage).flatten(1)
            similar = product(rows, gathered(rows).T)
            full = F.pad(similar, (0, self.task.batch_size - similar.shape[1]))
            each.append(F.normalize(wide(embed(full))))
        return torch.stack(each, dim=1)


def calibrated_distance(pairs: Sequence[tuple[Tensor, Tensor]], weights: Tensor) -> Tensor:
    """The mean over samples and stages i of Σ_j α_ij·mean (f_i − g_j)².

    pairs: feature maps (B, C, H, W) of the student's stage i led to the teacher's j, and the
    teacher's; j first. weights: α (B, L_s, L_t).
    """
    each = [(wide(own) - wide(taught)).square().flatten(1).mean(1) for own, taught in pairs]
    return (weights * torch.stack(each, dim=1).view_as(weights)).sum(2).mean()


def embedding(count: int) -> nn.Module:
    """From a sample's similarities to `count` others to a quarter as many numbers.

    To 8 at least, since of very few inner ones none may be above 0 for any sample, and never learn.
    """
    width = max(count // 4, 8)
    return nn.Sequential(nn.Linear(count, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))


def regressor(channels: int, wanted: int) -> nn.Module:
    """Convolutions 1×1, 3×3 and 1×1 from one width to the other, at twice the latter between."""
    between = 2 * wanted
    return nn.Sequential(
        nn.Conv2d(channels, between, 1, bias=False),
        nn.BatchNorm2d(between),
        nn.ReLU(inplace=True),
        nn.Conv2d(between, between, 3, padding=1, bias=False),
        nn.BatchNorm2d(between),
        nn.ReLU(inplace=True),
        nn.Conv2d(between, wanted, 1, bias=False),
    )


METHOD = SemanticCalibration
