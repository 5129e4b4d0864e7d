"""BYOT, Be Your Own Teacher (Zhang et al. 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone, initialise, pool
from kd.methods.base import Batch, Loss, Method, Task
from kd.methods.byot.config import Config
from kd.parts.gather import gathered
from kd.parts.losses import cross_entropy, log_probabilities
from kd.parts.teacher import Teacher


class BeYourOwnTeacher(Method[Config]):
    """(1−α)·Σ_i CE_i + α·T²·Σ_i CE(sg p_L^T, p_i^T) + β·Σ_i ‖f_i − sg f_L‖² on active units.

    i counts the classifiers: a bottleneck after each stage but the last, and the backbone's own,
    L, which teaches the others. A unit is active where one of the two features is above 0.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        *shallow, deepest = student.shapes(*task.images).stages
        self.heads = nn.ModuleList(
            BottleneckHead(shape, deepest, task.num_classes) for shape in shallow
        )

    def forward(self, batch: Batch) -> Loss:
        """One pass of the backbone, and of a bottleneck after each of its stages but the last."""
        *shallow, last = self.student.features(batch.images)
        found = [head(feature) for head, feature in zip(self.heads, shallow, strict=True)]
        found.append((pool(last), self.student.classify(last)))
        features, logits = (torch.stack(tensors) for tensors in zip(*found, strict=True))
        return self.loss(logits, features, batch.labels)

    def loss(self, logits: Tensor, features: Tensor, labels: Tensor) -> Loss:
        """The loss of logits (L, B, C) and features (L, B, D), the backbone's last, labels (B,)."""
        alpha, temperature = self.numbers["alpha"], self.numbers["temperature"]
        hard = cross_entropy(logits, labels.expand(logits.shape[:-1])).mean(-1).sum()
        log_p = log_probabilities(logits, temperature)
        soft = -(log_p[-1].detach().exp() * log_p[:-1]).sum(-1).mean(-1).sum()
        soft = temperature**2 * soft
        apart = active_distance(features[:-1], features[-1].detach())
        # The sum over the images of all workers.
        apart = gathered(apart.sum(0)).sum()
        total = (1 - alpha) * hard + alpha * soft + self.numbers["beta"] * apart
        return Loss(total, {"loss_ce": hard, "loss_soft": soft, "loss_features": apart})


class BottleneckHead(nn.Module):
    """A bottleneck to the size of the deepest feature; pooling; a linear layer.

    Args:
        shape: a tensor of the shape (…, C, H, W) that it takes.
        deepest: of the shape (…, D, H_L, W_L), the deepest feature's.
        num_classes: of the classifier.
    """

    def __init__(self, shape: Tensor, deepest: Tensor, num_classes: int) -> None:
        super().__init__()
        channels, height, width = shape.shape[-3:]
        features = deepest.shape[-3]
        middle = max(features // 4, 1)
        step = (height // deepest.shape[-2], width // deepest.shape[-1])
        self.bottleneck = nn.Sequential(
            *_block(channels, middle),
            *_block(middle, middle, step),
            *_block(middle, features),
        )
        self.bottleneck.apply(initialise)
        self.classifier = nn.Linear(features, num_classes)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """A stage's output (B, C, H, W) to a pooled feature (B, D) and logits."""
        pooled = pool(self.bottleneck(feature))
        return pooled, self.classifier(pooled)


def active_distance(features: Tensor, target: Tensor) -> Tensor:
    """‖f − g‖² over the units of (..., D) at which f or g is above 0."""
    wide = torch.promote_types(features.dtype, torch.float32)
    f, g = features.to(wide), target.to(wide)
    return ((f - g).square() * ((f > 0) | (g > 0))).sum(-1)


def _block(channels: int, features: int, step: tuple[int, int] = (1, 1)) -> list[nn.Module]:
    """A convolution of patches of `step`, which do not overlap, BN and ReLU."""
    convolution = nn.Conv2d(channels, features, step, stride=step, bias=False)
    return [convolution, nn.BatchNorm2d(features), nn.ReLU(inplace=True)]


METHOD = BeYourOwnTeacher
