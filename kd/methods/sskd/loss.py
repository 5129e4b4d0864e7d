"""SSKD, Knowledge Distillation Meets Self-Supervision (Xu et al. 2020)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd.backbones.staged import Outputs, StagedBackbone
from kd.data.augment import rotate4
from kd.methods.base import MAIN, Batch, Loss, Method, ParameterGroup, Phase, Task
from kd.methods.sskd.config import Config
from kd.parts.gather import gathered
from kd.parts.losses import Number, cross_entropy, distillation_kl, product
from kd.parts.relations import wide
from kd.parts.rotations import M, by_image
from kd.parts.teacher import Teacher


class Projected(NamedTuple):
    """What a network says of all M views of a batch: logits (B, M, C), projections (B, M, D)."""

    logits: Tensor
    projections: Tensor


class SelfSupervision(Method[Config]):
    """c·CE + k·T²·KL_T, w·T²·KL_T of the turned views + s·τ²·KL_τ of similarities (equation 8).

    A similarity is the cosine of two projections, of a turned view and one that is not; those of a
    batch are a softmax. Of what the teacher has wrong, the worst are left out. Its head learns
    before the training to find a turned view's own image; the student's learns with the student.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        pooled = self._teacher.network.shapes(*task.images).pooled
        self.head = projection(student.channels[-1])
        self.teacher_head = projection(pooled.shape[1])

    @property
    def _teacher(self) -> Teacher:
        return cast(Teacher, self.teachers[0])

    def phases(self) -> tuple[Phase, ...]:
        """The teacher's head, with the authors' milestones."""
        optimizer = replace(self.config.recipe.optimizer, milestones=(0.5, 0.75))
        return (Phase(name="head", epochs=self.config.head_epochs, optimizer=optimizer),)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The teacher's head in its own stage, then the student and its head."""
        parts: list[nn.Module] = [self.teacher_head]
        if self.phase == MAIN:
            parts = [self.student, self.head]
        return [ParameterGroup(parameters=[p for part in parts for p in part.parameters()])]

    def at_rest(self) -> Iterable[nn.Module]:
        """The teacher's head, when it teaches."""
        return (self.teacher_head,) if self.phase == MAIN else ()

    def forward(self, batch: Batch) -> Loss:
        """One pass of each network over the 4·B views."""
        views = rotate4(batch.images)
        if self.phase != MAIN:
            taught = _projected(self._teacher.outputs(views), self.teacher_head)
            found = similarities(gathered(taught.projections))
            hard = cross_entropy(found, own_images(found)).mean()
            return Loss(hard, {"loss_head": hard})
        with torch.no_grad():
            taught = _projected(self._teacher.outputs(views), self.teacher_head)
        return self.loss(_projected(self.student.outputs(views), self.head), taught, batch.labels)

    def loss(self, own: Projected, taught: Projected, labels: Tensor) -> Loss:
        """The loss of what both networks say, and labels (B,)."""
        temperature, narrow = self.numbers["temperature"], self.numbers["similarity_temperature"]
        hard = cross_entropy(own.logits[:, 0], labels).mean()
        kl = divergence(own.logits[:, 0], taught.logits[:, 0], temperature).mean()
        turned, kept = self._turned(own.logits, taught.logits, labels)
        student, teacher = (similarities(gathered(z.projections)) for z in (own, taught))
        alike = mean_of(
            divergence(student, teacher, narrow),
            best(ranks(teacher, own_images(teacher)), self.numbers["similarity_kept"]),
        )
        terms = {"loss_ce": hard, "loss_kl": kl, "loss_turned": mean_of(turned, kept)}
        terms["loss_similarity"] = alike
        weights = ("ce_weight", "kd_weight", "turned_weight", "similarity_weight")
        pairs = zip(weights, terms.values(), strict=True)
        return Loss(torch.stack([self.numbers[w] * term for w, term in pairs]).sum(), terms)

    def _turned(self, own: Tensor, taught: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The divergence of each turned view of all workers, and which of them count: (3·B,)."""
        student, teacher = (gathered(z[:, 1:]).flatten(0, 1) for z in (own, taught))
        labels = gathered(labels).unsqueeze(1).expand(-1, M - 1).flatten()
        kept = best(ranks(teacher, labels), self.numbers["turned_kept"])
        return divergence(student, teacher, self.numbers["temperature"]), kept


def projection(channels: int) -> nn.Module:
    """Two linear layers on a pooled feature, of its own width."""
    return nn.Sequential(
        nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, channels)
    )


def _projected(outputs: Outputs, head: nn.Module) -> Projected:
    return Projected(by_image(outputs.logits), by_image(head(outputs.pooled)))


def divergence(student: Tensor, teacher: Tensor, temperature: Number) -> Tensor:
    """T²·KL_T of each row."""
    return temperature**2 * distillation_kl(student, teacher, temperature, soft=False)


def similarities(projections: Tensor) -> Tensor:
    """The cosines of every turned view to every image that is not: (3·B, B) of (B, M, D)."""
    rows = F.normalize(wide(projections), dim=-1)
    return product(rows[:, 1:].flatten(0, 1), rows[:, 0].T)


def own_images(found: Tensor) -> Tensor:
    """Which column of similarities (3·B, B) is a turned view's own image: (3·B,)."""
    images = torch.arange(found.shape[1], device=found.device)
    return images.unsqueeze(1).expand(-1, M - 1).flatten()


def ranks(scores: Tensor, right: Tensor) -> Tensor:
    """How many of (R, C) scores are above the right one's, (R,); 0 where it is the highest."""
    return (scores > scores.gather(1, right.unsqueeze(1))).sum(1)


def best(ranks: Tensor, share: Number) -> Tensor:
    """Those of rank 0, and of the others the share with the lowest ranks: (R,), bool."""
    wrong = (ranks > 0).sum()
    count = len(ranks) - wrong + (wrong * share).floor()
    return ranks.argsort(stable=True).argsort() < count


def mean_of(values: Tensor, kept: Tensor) -> Tensor:
    """The mean of those (R,) that are kept; 0 of none."""
    return (values * kept).sum() / kept.sum().clamp(min=1)


METHOD = SelfSupervision
