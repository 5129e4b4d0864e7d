"""What every method is: a student, and a loss on a batch."""

from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone
from kd.data.batch import Batch
from kd.errors import UserError
from kd.methods import MethodConfig
from kd.parts.history import SoftLabelHistory

__all__ = ["Batch", "Loss", "Method", "Task"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method must know of the run: classes C, training samples N, epochs E."""

    num_classes: int
    num_samples: int
    epochs: int


@dataclass
class Loss:
    """The scalar to minimise, and its named terms (detached) for the record."""

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.terms = {name: term.detach() for name, term in self.terms.items()}


C = TypeVar("C", bound=MethodConfig)


class Method(nn.Module, Generic[C]):
    """A training method. Owns the student; adds a loss, and whatever state that loss needs.

    Histories, teachers and branches are buffers or submodules, so `state_dict` is complete.
    A subclass stands in the file named after the method, which binds it to `METHOD`.

    Raises UserError where the method learns from a teacher and there is none.
    """

    def __init__(
        self, config: C, student: StagedBackbone, task: Task, teacher: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.task = task
        self.student = student
        self.teacher = teacher
        if teacher is not None:
            teacher.requires_grad_(False).eval()
        elif config.teacher != "none":
            raise UserError(
                "This method learns from a trained network; give teacher.weights: FILE."
            )

    def forward(self, batch: Batch, epoch: int) -> Loss:
        """The loss of `batch` in epoch `epoch`, counted from 0 as in the papers' formulas."""
        raise NotImplementedError

    @torch.no_grad()
    def teacher_logits(self, images: Tensor) -> Tensor:
        """What the teacher says of `images`: (B, C) without gradient."""
        assert self.teacher is not None
        logits: Tensor = self.teacher(images)
        return logits

    def end_epoch(self) -> None:
        """Called after the last batch of every epoch, on every worker."""
        for module in self.modules():
            if isinstance(module, SoftLabelHistory):
                module.sync()

    def train(self, mode: bool = True) -> Self:
        """As for any module, but a teacher stays in eval mode."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self
