"""What every method is: a student, and a loss on a batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from kd.backbones import build_backbone
from kd.backbones.staged import StagedBackbone
from kd.data.batch import Batch
from kd.errors import UserError
from kd.methods import MethodConfig
from kd.optimizer import OptimizerConfig
from kd.parts.history import Histories, SoftLabelHistory
from kd.parts.losses import SOFT
from kd.parts.teacher import Teacher, mean_logits

__all__ = ["MAIN", "Batch", "Loss", "Method", "ParameterGroup", "Phase", "Task"]

MAIN = "main"
"""The name of the last phase, which every method has: the training that is validated."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method must know of the run: classes C, training samples N, epochs E, and more.

    in_channels, image_size (H, W): of the images. steps: of an epoch. batch_size: images of a full
    batch, of all workers. labels: (N,) int64, those of the training set, sample by sample.
    backbone: the student's name. optimizer: that of the main phase.
    `histories` makes its soft-label memories, in the form and the place of the run.
    """

    num_classes: int
    num_samples: int
    epochs: int
    in_channels: int = 3
    image_size: tuple[int, int] = (32, 32)
    steps: int = 1
    batch_size: int = 64
    labels: Tensor | None = field(default=None, compare=False, repr=False)
    backbone: str = ""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    histories: Histories = field(default_factory=Histories)

    def soft_label_history(self, shape: tuple[int, ...]) -> SoftLabelHistory:
        """An empty memory of probabilities (*rows, C), as `MethodConfig.memories` declares it."""
        return self.histories(self.num_samples, shape)

    @property
    def images(self) -> tuple[int, tuple[int, int]]:
        """Their channels and size (H, W), as `StagedBackbone.shapes` takes them."""
        return self.in_channels, self.image_size

    def build_network(self, backbone: str | None = None) -> StagedBackbone:
        """Another network for these images (a peer, an assistant), drawn as its family draws it.

        By default one of the student's form. UserError for a backbone that is not known.
        """
        return build_backbone(backbone or self.backbone, self.num_classes, self.in_channels)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the training before the main one (a hint stage, the pre-training of a head).

    It has epochs and an optimizer of its own, whose schedule runs over those epochs, or over each
    of `cycles`. Nothing is validated in it. One of no epochs is left out.
    """

    name: str
    epochs: int
    optimizer: OptimizerConfig
    cycles: int = 1


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters that are updated alike.

    lr: what the optimizer's learning rate is multiplied by. weight_decay: in the place of the
    optimizer's, where it is given.
    """

    parameters: Sequence[nn.Parameter]
    lr: float = 1.0
    weight_decay: float | None = None


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

    Histories, memories, peers and branches are buffers or submodules, so `state_dict` is complete.
    A subclass stands in the file named after the method, which binds it to `METHOD`.

    Raises UserError where the method learns from a teacher and there is none.
    """

    def __init__(
        self, config: C, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__()
        self.config = config
        self.task = task
        self.numbers = Scalars()
        self.soft = getattr(config, "temperature", 0.0) > SOFT
        self.phase = MAIN
        self.student = student
        self.teachers = nn.ModuleList(teachers).requires_grad_(False).eval()
        if config.teacher != "none" and not teachers:
            raise UserError(
                "This method learns from a trained network; give teacher.weights: FILE."
            )
        for teacher in teachers or ():
            if len(teacher.network.stages) < config.least_stages:
                raise UserError(
                    "This method watches stages, and its teacher is a network taken as a whole; "
                    "give a teacher that has stages, or choose a method that watches logits alone."
                )
        self.begin_epoch(0)

    # -- a step -------------------------------------------------------------------------------

    def forward(self, batch: Batch) -> Loss:
        """The loss of `batch` in `phase`, with the `numbers` of the epoch that was begun.

        It waits for nothing that lies on the device: no number is read from a tensor there, and
        no shape depends on one.
        """
        raise NotImplementedError

    def observe(self, batches: Iterable[Batch]) -> None:
        """Called without gradient before the first epoch, for what a look at all images tells.

        The training images in their order, not augmented; of several workers each gets its part.
        What is found is a buffer, as a training that goes on does not look again.
        """

    def after_step(self, batch: Batch) -> None:
        """Called without gradient when the weights were updated on `batch`, for what follows them.

        A moving average of weights, a memory; it waits for nothing, as `forward`.
        """

    def teacher_logits(self, images: Tensor) -> Tensor:
        """What the teachers say of `images`, of several `mean_logits`: (B, C) without gradient."""
        return mean_logits(self.teachers, images)

    # -- an epoch -----------------------------------------------------------------------------

    def scalars(self, epoch: int) -> dict[str, float]:
        """The numbers of the loss in `epoch`, counted from 0 as in the papers' formulas.

        Those of the configuration; a method adds, or puts in their place, what changes from
        epoch to epoch (α_e, β_e). Epochs are those of `phase`.
        """
        values = {f.name: getattr(self.config, f.name) for f in fields(self.config)}
        return {name: value for name, value in values.items() if isinstance(value, float)}

    def begin_epoch(self, epoch: int) -> None:
        """Called before the first batch of every epoch, on every worker."""
        self.numbers.set(self.scalars(epoch))

    def end_epoch(self) -> None:
        """Called after the last batch of every epoch, on every worker; all hold one network."""
        for module in self.modules():
            if isinstance(module, SoftLabelHistory):
                module.sync()

    # -- the course of a training -------------------------------------------------------------

    def phases(self) -> tuple[Phase, ...]:
        """What is trained before the main phase, in order; for most methods nothing."""
        return ()

    def parameter_groups(self) -> list[ParameterGroup]:
        """What `phase` trains, and how; by default all that needs a gradient, alike."""
        return [ParameterGroup(parameters=[p for p in self.parameters() if p.requires_grad])]

    def candidates(self) -> dict[str, StagedBackbone]:
        """The networks of which the one that is best on val is handed out, by their names here.

        Of most methods the student alone; the others are of its form.
        """
        return {"student": self.student}

    def at_rest(self) -> Iterable[nn.Module]:
        """What stays in eval mode in `phase`, as teachers do: an earlier phase has trained it."""
        return ()

    def begin_phase(self, name: str) -> list[ParameterGroup]:
        """Enter the phase `name`: what it trains needs a gradient from here on, and nothing else.

        Returns its parameter groups. Called once the method is complete, and for each phase.
        """
        if not hasattr(self, "_trainable"):
            self._trainable = [p for p in self.parameters() if p.requires_grad]
        self.phase = name
        for parameter in self._trainable:
            parameter.requires_grad_(True)
        groups = self.parameter_groups()
        chosen = {id(parameter) for group in groups for parameter in group.parameters}
        for parameter in self._trainable:
            parameter.requires_grad_(id(parameter) in chosen)
        self.train(self.training)
        return groups

    def train(self, mode: bool = True) -> Self:
        """As for any module, but teachers, and what is at rest, stay in eval mode."""
        super().train(mode)
        for module in (self.teachers, *self.at_rest()):
            module.eval()
        return self
