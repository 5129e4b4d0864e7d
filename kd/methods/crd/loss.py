"""CRD, Contrastive Representation Distillation (Tian et al. 2020)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd.backbones.staged import Outputs, StagedBackbone
from kd.methods.base import Batch, Task
from kd.methods.crd.config import Config
from kd.methods.taught import FeatureDistillation
from kd.parts.gather import gathered
from kd.parts.losses import Number, product
from kd.parts.relations import wide
from kd.parts.teacher import Teacher

SMALL = 1e-7
"""What the authors' code adds to the noise's probability."""


class ContrastiveRepresentation(FeatureDistillation[Config]):
    """L tells a sample's two embeddings from those of other samples, both ways (equations 10, 17).

    A linear layer embeds the pooled features of each network. Each sample is contrasted with K
    of other classes, drawn with replacement, where the authors' loader draws without as long as
    there are enough: the expectation is the same.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        assert task.labels is not None
        self.of_student = nn.Linear(student.channels[-1], config.width)
        self.of_teacher = nn.Linear(self.teacher_shapes.pooled.shape[1], config.width)
        self.others = OtherClasses(task.labels.cpu(), task.num_classes)
        self.memory = ContrastMemory(task.num_samples, config.width)

    def features(self, own: Outputs, taught: Outputs, batch: Batch) -> Tensor:
        """L of both networks' outputs for a batch."""
        drawn = self.others(batch.labels, self.config.negatives)
        return self.contrast(own.pooled, taught.pooled, batch.indices, drawn)

    def contrast(self, own: Tensor, taught: Tensor, indices: Tensor, drawn: Tensor) -> Tensor:
        """L of both pooled features (B, D); the memory then holds their embeddings.

        indices (B,) are the samples themselves, drawn (B, K) those that they are contrasted with.
        """
        student = F.normalize(wide(self.of_student(own)))
        teacher = F.normalize(wide(self.of_teacher(taught)))
        chosen = torch.cat([indices.unsqueeze(1), drawn], dim=1)
        temperature, count = self.numbers["contrast_temperature"], self.task.num_samples
        logits = self.memory.log_densities(student, teacher, chosen, temperature)
        self.memory.keep(student, teacher, indices, self.numbers["momentum"])
        return noise_contrast(logits, count).sum()


class OtherClasses(nn.Module):
    """Draws samples of other classes, where the labels lie.

    In the samples ordered by class those of one class lie beside each other, and a draw among the
    rest steps over them.
    """

    order: Tensor
    counts: Tensor
    starts: Tensor

    def __init__(self, labels: Tensor, num_classes: int) -> None:
        super().__init__()
        counts = torch.bincount(labels, minlength=num_classes)
        for name, value in {
            "order": labels.argsort(stable=True),
            "counts": counts,
            "starts": counts.cumsum(0) - counts,
        }.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, labels: Tensor, count: int) -> Tensor:
        """(B, count) samples for labels (B,), with replacement."""
        own = self.counts[labels].unsqueeze(1)
        shape = (len(labels), count)
        uniform = torch.rand(shape, dtype=torch.float64, device=labels.device)
        place = (uniform * (len(self.order) - own)).long()
        place = place + own * (place >= self.starts[labels].unsqueeze(1))
        return self.order[place]


class ContrastMemory(nn.Module):
    """The last embeddings of every training sample, (2, N, D): the student's, the teacher's.

    `scales` are the logarithms of Z, by which densities are normalised: found of the first batch.
    """

    rows: Tensor
    scales: Tensor

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width / 3)
        self.register_buffer("rows", torch.empty(2, count, width).uniform_(-bound, bound))
        self.register_buffer("scales", torch.full((2,), torch.inf))

    def log_densities(
        self, student: Tensor, teacher: Tensor, chosen: Tensor, temperature: Number
    ) -> Tensor:
        """The logarithms of exp(a·m/τ)/Z (2, B, 1+K) for embeddings (B, D), of samples (B, 1+K).

        The student's are compared with what is kept of the teacher's, then the other way.
        """
        found = []
        for anchor, kept in ((student, self.rows[1]), (teacher, self.rows[0])):
            # A copy, as the gradient needs what is kept before it is changed.
            scores = product(anchor, kept.clone().T)
            found.append(scores.gather(1, chosen) / temperature)
        logits = torch.stack(found)
        each = gathered(logits.detach().logsumexp(-1).T)
        mean = each.logsumexp(0) - math.log(len(each) * chosen.shape[1])
        first = (mean + math.log(self.rows.shape[1])).to(self.scales.dtype)
        self.scales.copy_(torch.where(self.scales.isinf(), first, self.scales))
        return logits - self.scales.view(2, 1, 1)

    @torch.no_grad()
    def keep(self, student: Tensor, teacher: Tensor, indices: Tensor, momentum: Number) -> None:
        """Move what is kept of the samples (B,) of all workers towards their embeddings."""
        indices = gathered(indices)
        for kept, now in zip(self.rows, (student, teacher), strict=True):
            moved = momentum * kept[indices] + (1 - momentum) * gathered(now.detach())
            kept.index_copy_(0, indices, F.normalize(moved).to(kept.dtype))


def noise_contrast(log_densities: Tensor, count: int) -> Tensor:
    """−log P(pair) of the first column, and −log P(no pair) of the others, the mean over samples.

    Against K draws of uniform noise from `count` samples: (..., B, 1+K) to (...).
    """
    noise = (log_densities.shape[-1] - 1) / count
    odds = log_densities - math.log(noise + SMALL)
    others = F.logsigmoid(-odds[..., 1:]) + math.log(noise / (noise + SMALL))
    return -(F.logsigmoid(odds[..., 0]) + others.sum(-1)).mean(-1)


METHOD = ContrastiveRepresentation
