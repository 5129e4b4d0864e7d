"""MLKD, Multi-Level Logit Distillation (Jin et al. 2023)."""

import torch
from torch import Tensor

from kd.methods.base import Batch, Loss
from kd.methods.mlkd.config import Config
from kd.methods.taught import LogitDistillation
from kd.parts.gather import gathered
from kd.parts.losses import (
    Number,
    cross_entropy,
    distillation_kl,
    log_probabilities,
    product,
)

BESIDE = (3.0, 5.0, 2.0, 6.0)
"""The temperatures beside T₀."""
OF_THE_SECOND = (3.0, 5.0)
OF_THE_FIRST = (2.0, 6.0)
"""Where there is a second view, the authors' code takes T₀, 3 and 5 of it, and 2 and 6 of the
first once more."""


class MultiLevelDistillation(LogitDistillation[Config]):
    """c·CE + k·Σ_T (m·T²·KL_T + n·classes_T + m·batch_T), T of T₀, 3, 5, 2 and 6.

    With P = softmax(z/T) as a matrix (B, C): classes is ‖PᵀP of the teacher − of the student‖²/C,
    batch ‖PPᵀ − PPᵀ‖²/B. m is the share of samples of which the teacher is no surer than of the
    median one, n the share of classes that it expects no more often than the median one: numbers,
    as in the authors' code, where their text masks sample by sample.
    """

    def forward(self, batch: Batch) -> Loss:
        """Both networks see the batch, and its second view where that teaches too."""
        seen = (batch.images, *batch.views[: int(self.config.second_view)])
        student = [self.student(images) for images in seen]
        return self.of_views(
            student, [self.teacher_logits(images) for images in seen], batch.labels
        )

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Of one view: both logits (B, C), labels (B,)."""
        return self.of_views([logits], [teacher_logits], labels)

    def of_views(self, logits: list[Tensor], teacher_logits: list[Tensor], labels: Tensor) -> Loss:
        """The loss of one view, or of two: both logits (B, C) each, labels (B,)."""
        temperatures: tuple[Number, ...] = (self.numbers["temperature"], *BESIDE)
        hard = torch.stack([cross_entropy(z, labels).mean() for z in logits]).sum()
        sure, rare = _shares(gathered(teacher_logits[0]))
        pairs = [self.compared(*pair) for pair in zip(logits, teacher_logits, strict=True)]
        weak = sure * _samples(pairs[0], temperatures)
        for pair in pairs[1:]:
            second: tuple[Number, ...] = (temperatures[0], *OF_THE_SECOND)
            weak = weak + _samples(pair, second) + _samples(pairs[0], OF_THE_FIRST)
        terms = {"loss_ce": hard, "loss_samples": weak}
        classes, batch = _relations(logits[0], teacher_logits[0], temperatures)
        classes, batch = rare * classes, sure * batch
        if self.config.second_relations and len(logits) > 1:
            more = _relations(logits[1], teacher_logits[1], temperatures)
            shares = _shares(gathered(teacher_logits[1]))
            classes, batch = classes + shares[1] * more[0], batch + shares[0] * more[1]
        terms |= {"loss_classes": classes, "loss_batch": batch}
        taught = self.numbers["kd_weight"] * (weak + classes + batch)
        return Loss(self.numbers["ce_weight"] * hard + taught, terms)


def _shares(teacher: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers m and n of the teacher's logits (B, C)."""
    p = log_probabilities(teacher).exp()
    found = []
    for values in (p.amax(-1), p.sum(0)):
        found.append((values <= values.quantile(0.5)).to(p.dtype).mean())
    return found[0], found[1]


def _samples(pair: tuple[Tensor, Tensor], temperatures: tuple[Number, ...]) -> Tensor:
    """Σ_T T²·KL_T of (student, teacher), the mean over samples."""
    each = [T**2 * distillation_kl(*pair, T, soft=False).mean() for T in temperatures]
    return torch.stack(each).sum()


def _relations(
    student: Tensor, teacher: Tensor, temperatures: tuple[Number, ...]
) -> tuple[Tensor, Tensor]:
    """Σ_T of the classes' and of the batch's part, over the rows of all workers."""
    student, teacher = gathered(student), gathered(teacher)
    classes, batch = [], []
    for temperature in temperatures:
        s, t = (log_probabilities(z, temperature).exp() for z in (student, teacher))
        classes.append((product(t.T, t) - product(s.T, s)).square().sum() / s.shape[1])
        batch.append((product(t, t.T) - product(s, s.T)).square().sum() / s.shape[0])
    return torch.stack(classes).sum(), torch.stack(batch).sum()


METHOD = MultiLevelDistillation
