"""FRSKD, Feature Refinement via Self-Knowledge Distillation (Ji et al. 2021)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd.backbones.staged import StagedBackbone, initialise, pool
from kd.methods.base import Batch, Loss, Method, Task
from kd.methods.frskd.config import Config
from kd.parts.losses import cross_entropy, distillation_kl
from kd.parts.relations import attention_distance
from kd.parts.teacher import Teacher

WIDTH = 2
"""How many times as wide as its stage a refined feature is."""
DEPTH = 2
"""Depthwise separable convolutions after each fusion."""


class FeatureRefinement(Method[Config]):
    """CE_s + CE_t + α·T²·KL_T(sg t ‖ s) + β·Σ_i AT(f_i, sg g_i).

    t is what a self-teacher says, g_i are the features that it refines from the student's stages
    f_i, and AT compares attention maps (Zagoruyko & Komodakis 2017). The self-teacher's CE reaches
    the student's stages too.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.self_teacher = SelfTeacher(student.channels, task.num_classes)

    def forward(self, batch: Batch) -> Loss:
        """One pass of the student, and of the self-teacher over its stages."""
        features = self.student.features(batch.images)
        refined, taught = self.self_teacher(features)
        logits = self.student.classify(features[-1])
        return self.loss(logits, taught, features, refined, batch.labels)

    def loss(
        self,
        logits: Tensor,
        taught: Tensor,
        features: Sequence[Tensor],
        refined: Sequence[Tensor],
        labels: Tensor,
    ) -> Loss:
        """Logits (B, C) and features (B, ·, H_i, W_i) of student and self-teacher, labels (B,)."""
        temperature = self.numbers["temperature"]
        hard, own = (cross_entropy(z, labels).mean() for z in (logits, taught))
        kl = distillation_kl(logits, taught.detach(), temperature, soft=self.soft).mean()
        kl = temperature**2 * kl
        pairs = zip(features, refined, strict=True)
        apart = torch.stack([attention_distance(f, g.detach()) for f, g in pairs]).sum()
        total = hard + own + self.numbers["alpha"] * kl + self.numbers["beta"] * apart
        terms = {"loss_ce": hard, "loss_teacher": own, "loss_kl": kl, "loss_features": apart}
        return Loss(total, terms)


class SelfTeacher(nn.Module):
    """BiFPN over the stages, each at `WIDTH` times its own width, and a classifier (BiFPNc).

    Laterals L_i are 1×1 convolutions of the stages. From the deepest on, P_i fuses L_i with
    P_{i+1}; then from the shallowest on, G_i fuses another lateral, P_i and G_{i−1}. P_L is L_L,
    and G_1 is P_1. The deepest G is pooled and classified.
    """

    def __init__(self, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        wide = [WIDTH * count for count in channels]
        self.lateral = nn.ModuleList(map(_pointwise, channels, wide))
        self.second_lateral = nn.ModuleList(map(_pointwise, channels[1:], wide[1:]))
        self.top_down = nn.ModuleList(Fusion(own, deeper, 2) for own, deeper in pairwise(wide))
        # Of the deepest stage the lateral is all that the way down has.
        counts = [3] * (len(wide) - 2) + [2]
        self.bottom_up = nn.ModuleList(map(Fusion, wide[1:], wide[:-1], counts))
        self.classifier = nn.Linear(wide[-1], num_classes)
        self.apply(initialise)

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Outputs of the stages to refined features of the same sizes, and logits (B, C)."""
        *laterals, deepest = [conv(x) for conv, x in zip(self.lateral, features, strict=True)]
        down = [deepest]
        for fuse, lateral in zip(reversed(self.top_down), reversed(laterals), strict=True):
            down.insert(0, fuse([lateral], down[0]))
        refined = [down[0]]
        between = [[x] for x in down[1:-1]] + [[]]
        for fuse, lateral, feature, guide in zip(
            self.bottom_up, self.second_lateral, features[1:], between, strict=True
        ):
            refined.append(fuse([lateral(feature), *guide], refined[-1]))
        return refined, self.classifier(pool(refined[-1]))


class Fusion(nn.Module):
    """Conv(Σ_k w_k·x_k), where the last x is a neighbour's feature, brought to the others' size.

    w are relu(v) over their sum, v learnt from 1 on, one for each of `count` inputs. Upwards the
    neighbour is repeated, downwards its highest values are taken; a 1×1 convolution gives it the
    others' width.
    """

    def __init__(self, channels: int, neighbour: int, count: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(count))
        self.resized = _pointwise(neighbour, channels)
        self.convolutions = nn.Sequential(*(_separable(channels) for _ in range(DEPTH)))

    def forward(self, own: Sequence[Tensor], neighbour: Tensor) -> Tensor:
        """Features (B, channels, H, W), and one (B, neighbour, …), to (B, channels, H, W)."""
        inputs = [*own, self.resized(_resize(neighbour, own[0]))]
        shares = F.relu(self.weights)
        shares = shares / (shares.sum() + 1e-6)
        fused = torch.stack([w * x for w, x in zip(shares, inputs, strict=True)]).sum(0)
        refined: Tensor = self.convolutions(fused)
        return refined


def _resize(feature: Tensor, like: Tensor) -> Tensor:
    """A map (B, C, …) at the height and width of `like`."""
    size = like.shape[2:]
    if feature.shape[2] < size[0] or feature.shape[3] < size[1]:
        return F.interpolate(feature, size=size, mode="nearest")
    return F.adaptive_max_pool2d(feature, size)


def _pointwise(channels: int, features: int) -> nn.Sequential:
    """A 1×1 convolution with BN and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, features, 1, bias=False), nn.BatchNorm2d(features), nn.ReLU()
    )


def _separable(channels: int) -> nn.Sequential:
    """A depthwise 3×3 convolution and a 1×1 one, with BN and ReLU."""
    depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    return nn.Sequential(depthwise, *_pointwise(channels, channels))


METHOD = FeatureRefinement
