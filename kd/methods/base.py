"""What every method is: a student, and a loss on a batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone
from kd.data.batch import Batch
from kd.errors import UserError
from kd.methods import MethodConfig
from kd.parts.history import Histories, SoftLabelHistory
from kd.parts.losses import SOFT

__all__ = ["Batch", "Loss", "Method", "Task"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method must know of the run: classes C, training samples N, epochs E.

    `histories` makes its soft-label memories, in the form and the place of the run.
    """

    num_classes: int
    num_samples: int
    epochs: int
    histories: Histories = field(default_factory=Histories)

    def soft_label_history(self, shape: tuple[int, ...]) -> SoftLabelHistory:
        """An empty memory of probabilities (*rows, C), as `MethodConfig.memories` declares it."""
        return self.histories(self.num_samples, shape)


@dataclass
class Loss:
    """The scalar to minimise, and its named terms (detached) for the record."""

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.terms = {name: term.detach() for name, term in self.terms.items()}


class Scalars(nn.Module):
    """The numbers of a loss, by name: 0-dim float64 tensors where the network lies.

    A step reads them from there, so that what was captured or compiled of it serves every epoch
    and every configuration. They are no part of a state: each epoch begins by setting them.
    """

    def set(self, values: Mapping[str, float]) -> None:
        """Write `values` in place; KeyError unless their names are those of the first time."""
        begun = bool(self._buffers)
        for name, value in values.items():
            if begun:
                self[name].fill_(value)
            else:
                number = torch.tensor(value, dtype=torch.float64)
                self.register_buffer(name, number, persistent=False)

    def __getitem__(self, name: str) -> Tensor:
        number = self._buffers[name]
        assert number is not None
        return number


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
        self.numbers = Scalars()
        self.soft = getattr(config, "temperature", 0.0) > SOFT
        self.student = student
        self.teacher = teacher
        if teacher is not None:
            teacher.requires_grad_(False).eval()
        elif config.teacher != "none":
            raise UserError(
                "This method learns from a trained network; give teacher.weights: FILE."
            )
        self.begin_epoch(0)

    def forward(self, batch: Batch) -> Loss:
        """The loss of `batch`, with the `numbers` of the epoch that was begun.

        It waits for nothing that lies on the device: no number is read from a tensor there, and
        no shape depends on one.
        """
        raise NotImplementedError

    def scalars(self, epoch: int) -> dict[str, float]:
        """The numbers of the loss in `epoch`, counted from 0 as in the papers' formulas.

        Those of the configuration; a method adds, or puts in their place, what changes from
        epoch to epoch (α_e, β_e).
        """
        values = {f.name: getattr(self.config, f.name) for f in fields(self.config)}
        return {name: value for name, value in values.items() if isinstance(value, float)}

    def begin_epoch(self, epoch: int) -> None:
        """Called before the first batch of every epoch, on every worker."""
        self.numbers.set(self.scalars(epoch))

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
