"""MixSKD, Self-Knowledge Distillation from Mixup (Yang et al. 2022)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd.backbones.staged import StagedBackbone, pool
from kd.methods.base import Batch, Loss, Method, Task
from kd.methods.mixskd.config import Config
from kd.parts.heads import EarlyHeads
from kd.parts.losses import cross_entropy, distillation_kl
from kd.parts.relations import wide
from kd.parts.teacher import Teacher


class Pairs(NamedTuple):
    """Labels y and y′ of the images that are paired, (B,), and the share λ of the first one."""

    labels: Tensor
    partners: Tensor
    share: Tensor

    def cross_entropy(self, logits: Tensor) -> Tensor:
        """λ·CE(z, y) + (1−λ)·CE(z, y′) of logits (..., B, C): (..., B)."""
        first, second = (
            cross_entropy(logits, labels.expand(logits.shape[:-1]))
            for labels in (self.labels, self.partners)
        )
        return self.share * first + (1 - self.share) * second


class Said(NamedTuple):
    """What is said of pairs in one of both ways.

    logits: (L, B, C), of the early heads and the backbone. maps: their last ones, each
    (B, D, H, W). ensemble: (B, C), the self-teacher's, from the maps.
    """

    logits: Tensor
    maps: Sequence[Tensor]
    ensemble: Tensor


class MixtureDistillation(Method[Config]):
    """Σ_i CE_i of the images, and four terms of pairs of them; i counts heads and backbone.

    Of a pair x, x′ something is said in two ways: of the mixture λ·x + (1−λ)·x′, and linearly,
    between what is said of x and of x′. The terms are CE to both labels, of all that is said of
    the mixture and of the self-teacher in both ways; T²·KL_T of each way from the other, but of
    the backbone from the self-teacher; the mean squared difference of the maps of both ways; and
    the loss of discriminators that tell these maps apart, which the network lowers with them, as
    in the authors' code.

    An image's partner is the next one of the batch, whose order is drawn anew in every epoch. The
    self-teacher is a 1×1 convolution over all maps, pooling and a linear layer; pooling comes
    first here, which is the same.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        width, count = student.channels[-1], len(student.stages)
        self.heads = EarlyHeads(student, task.num_classes)
        self.self_teacher = nn.Sequential(
            nn.Linear(count * width, width, bias=False), nn.Linear(width, task.num_classes)
        )
        self.discriminators = Discriminators(width, count)

    def forward(self, batch: Batch) -> Loss:
        """One pass of the images and their mixtures; only the share λ is drawn."""
        share = symmetric_beta(self.numbers["mixup_alpha"])
        views = torch.cat([batch.images, between(batch.images, share)])
        features = self.student.features(views)
        seen = self.heads(features)
        maps = [x.chunk(2) for x in (*(head.feature for head in seen), features[-1])]
        found = [*(head.logits for head in seen), self.student.classify(features[-1])]
        logits, of_mixtures = torch.stack(found).chunk(2, dim=1)
        linear = self.said(between(logits, share, 1), [between(own, share) for own, _ in maps])
        mixed = self.said(of_mixtures, [of_mixture for _, of_mixture in maps])
        apart = self.discriminators(linear.maps, mixed.maps)
        pairs = Pairs(batch.labels, batch.labels.roll(1), share)
        return self.loss(logits, linear, mixed, apart, pairs)

    def said(self, logits: Tensor, maps: Sequence[Tensor]) -> Said:
        """With what the self-teacher makes of the maps; logits (L, B, C)."""
        pooled = torch.cat([pool(x) for x in maps], dim=1)
        return Said(logits, maps, self.self_teacher(pooled))

    def loss(self, logits: Tensor, linear: Said, mixed: Said, apart: Tensor, pairs: Pairs) -> Loss:
        """The loss of logits (L, B, C) of the images, and what is said of pairs in both ways.

        apart: the discriminators' loss.
        """
        temperature = self.numbers["temperature"]
        hard = cross_entropy(logits, pairs.labels.expand(logits.shape[:-1])).mean(-1).sum()
        ensembles = torch.stack([linear.ensemble, mixed.ensemble])
        of_pairs = pairs.cross_entropy(torch.cat([mixed.logits, ensembles])).mean(-1).sum()
        kl = temperature**2 * (self._kl(linear, mixed) + self._kl(mixed, linear))
        each = [
            (wide(one) - wide(other)).square().mean()
            for one, other in zip(linear.maps, mixed.maps, strict=True)
        ]
        terms = {
            "mixed_label": of_pairs,
            "kd": kl,
            "feature": torch.stack(each).sum(),
            "discriminator": apart,
        }
        total = hard
        for name, term in terms.items():
            total = total + self.numbers[f"{name}_weight"] * term
        return Loss(total, {"loss_ce": hard, **{f"loss_{n}": term for n, term in terms.items()}})

    def _kl(self, own: Said, other: Said) -> Tensor:
        """Σ_i KL_T from the other's logits; the backbone's own learns from the self-teacher."""
        taught = torch.cat([other.logits[:-1], other.ensemble.unsqueeze(0)]).detach()
        temperature = self.numbers["temperature"]
        kl = distillation_kl(own.logits, taught, temperature, soft=self.soft)
        return kl.mean(-1).sum()


class Discriminators(nn.ModuleList):
    """For every map a small network that tells what is between two images from their mixture."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__(
            nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, 2)) for _ in range(count)
        )

    def forward(self, linear: Sequence[Tensor], mixed: Sequence[Tensor]) -> Tensor:
        """The sum over maps of the binary cross-entropy to (1, 0) and (0, 1)."""
        losses = []
        for judge, *pair in zip(self, linear, mixed, strict=True):
            said = wide(judge(torch.stack([pool(x) for x in pair], dim=1)))
            truth = torch.eye(2, dtype=said.dtype, device=said.device).expand_as(said)
            losses.append(F.binary_cross_entropy_with_logits(said, truth))
        return torch.stack(losses).sum()


def between(values: Tensor, share: Tensor, dim: int = 0) -> Tensor:
    """λ·x + (1−λ)·x′ of what is said of images and of their partners, which lie along `dim`."""
    return share * values + (1 - share) * values.roll(1, dim)


def symmetric_beta(alpha: Tensor) -> Tensor:
    """A draw of Beta(α, α) where α lies, which nobody waits for; by Student's t (Bailey 1994).

    With t of 2α degrees of freedom it is ½ + ½·t/√(2α + t²), and t/√(2α) is
    √(u^(−1/α) − 1)·cos 2πv of two uniform draws.
    """
    u, v = torch.rand(2, dtype=alpha.dtype, device=alpha.device)
    t = torch.expm1(-u.log() / alpha).sqrt() * torch.cos(2 * math.pi * v)
    return 0.5 + 0.5 * t.atan().sin()


METHOD = MixtureDistillation
