"""BAN, born-again networks (Furlanello et al. 2018)."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone
from kd.methods.ban.config import Config
from kd.methods.base import MAIN, Batch, Loss, Method, ParameterGroup, Phase, Task
from kd.parts.gather import gathered
from kd.parts.losses import cross_entropy, probabilities, rectify, soft_cross_entropy
from kd.parts.teacher import Teacher


class BornAgain(Method[Config]):
    """λ·CE(y, p_k) + CE(p_{k−1}, p_k) at T 1, or what `form` has in the second one's place.

    p_0 is the self-teacher's. A generation between it and the student is a network of the
    student's form, drawn anew and trained as the student is, in a phase of its own.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.earlier = nn.ModuleList(task.build_network() for _ in range(config.generations - 1))
        self._parts = (*(f"generation_{k + 1}" for k in range(len(self.earlier))), MAIN)

    @property
    def _before(self) -> int:
        """How many generations stand between the self-teacher and the one that learns."""
        return self._parts.index(self.phase)

    @property
    def _pair(self) -> tuple[nn.Module, nn.Module]:
        """Who teaches in this phase, and who learns."""
        line = (self.teachers[0], *self.earlier, self.student)
        return line[self._before], line[self._before + 1]

    def phases(self) -> tuple[Phase, ...]:
        """A generation each, with the student's optimizer."""
        epochs, optimizer = self.config.generation_epochs, self.task.optimizer
        return tuple(Phase(name=n, epochs=epochs, optimizer=optimizer) for n in self._parts[:-1])

    def parameter_groups(self) -> list[ParameterGroup]:
        """The one that learns."""
        _, learner = self._pair
        return [ParameterGroup(parameters=list(learner.parameters()))]

    def at_rest(self) -> Iterable[nn.Module]:
        """The generations that are trained."""
        return tuple(self.earlier)[: self._before]

    def forward(self, batch: Batch) -> Loss:
        """Both networks see the batch as it comes."""
        teacher, learner = self._pair
        with torch.no_grad():
            taught = teacher(batch.images)
        return self.loss(learner(batch.images), taught, batch.labels)

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), the teacher's without gradient; labels (B,)."""
        each = cross_entropy(logits, labels)
        if self.config.form == "weighted":
            taught = weighted_mean(each, probabilities(teacher_logits).amax(-1))
        else:
            seen = permuted(teacher_logits) if self.config.form == "permuted" else teacher_logits
            taught = soft_cross_entropy(logits, probabilities(seen)).mean()
        hard = each.mean()
        total = self.numbers["label_weight"] * hard + taught
        return Loss(total, {"loss_ce": hard, "loss_taught": taught})


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Σ w·v / Σ w over the batch of all workers; both (B,)."""
    sums = gathered(torch.stack([weights * values, weights], dim=-1)).sum(0)
    return sums[0] / sums[1]


def permuted(logits: Tensor) -> Tensor:
    """Each row (..., C) in random order but for its highest, which stays where it is."""
    # All of them in random order; then the highest changes places with what came into its own.
    order = torch.rand(logits.shape, device=logits.device).argsort(-1)
    return rectify(logits.gather(-1, order), logits.argmax(-1))


METHOD = BornAgain
