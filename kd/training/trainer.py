"""The one training loop."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from kd.backbones.staged import StagedBackbone
from kd.config import TrainConfig
from kd.data import Images
from kd.data.batch import Batch
from kd.data.device_loader import STEPS, DeviceLoader, mixed_seed, statistics
from kd.errors import DivergedError, UserError
from kd.methods.base import MAIN, Loss, Phase
from kd.parts.teacher import Teacher
from kd.training.building import method_of, phases_of
from kd.training.checkpoint import DAMAGED, OF_THE_DEVICE, UnreadableError
from kd.training.epoch import CapturedSteps, Steps
from kd.training.parallel import Place, average_statistics, data_parallel, mean_over_workers
from kd.training.state import MethodState, State, optimizer_state, snapshot
from kd.training.step import Step, autocast, dtype_for
from kd.training.validation import BATCH, BestOf, CapturedValidation, Validation

__all__ = ["DivergedError", "Metrics", "Place", "Report", "State", "Trainer"]

Metrics = dict[str, float]
Report = Callable[[Metrics, Callable[[], State]], None]
"""Told after every epoch: what was measured, and a function that gives the whole state.

In a phase before the main one `epoch` is 0, and `phase_epoch` counts.
"""

APART = 2**32
"""How far the numbers of a phase's epochs are from another's: each draws by chance of its own."""


class Trainer:
    """One training run, an epoch at a time.

    Everything random is drawn from generators seeded by (config.seed, epoch). A run that is
    stopped after any epoch and continued from its `state()` is therefore the same run: on the
    CPU to the last bit. With three or more workers the last bits may differ, as DDP reorders its
    gradient buckets after its first step.

    Several workers (`place.world`), each with its own Trainer, take the steps that one alone
    would take on the same `config.batch_size`, except that BatchNorm normalises with the images
    of its own worker. They measure the same metrics and, after every epoch, hold the same state.

    Args:
        config: what to train.
        train: the training images; sample i of the soft-label history is `train.images[i]`.
        val: the validation images.
        place: the device and the share of the work.
        teachers: the networks that `config.method` learns from, if it needs any.

    Raises:
        UserError: the configuration does not fit the images, its memories fit nowhere, or a
            teacher is missing.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: Images,
        val: Images,
        *,
        place: Place,
        teachers: Sequence[Teacher] = (),
    ) -> None:
        config.augment.check_fits(*train.size, int(train.images.shape[1]))
        config.kd.needs.check(config.method, config.augment.seen(train.size), train.counts)
        self.config = config
        self.place = place
        self.epoch = 0
        self.images = train.whole
        self.history: list[Metrics] = []
        normalise = statistics(train)
        self.loader = DeviceLoader(
            train,
            config.batch_size,
            augment=config.augment,
            statistics=normalise,
            device=place.device,
            seed=config.seed,
            shard=(place.rank, place.world),
            needs=config.kd.needs,
        )
        self.method = method_of(config, train, self.loader, place, teachers)
        self._kept = MethodState(self.method)
        self.precision = dtype_for(config.precision, place.device)
        self.phases = phases_of(config, self.method)
        self._enter(0)
        self.val_loader = DeviceLoader(
            val,
            None,
            augment=None,
            statistics=normalise,
            device=place.device,
            seed=config.seed,
            shard=(place.rank, place.world),
            seen=self.loader.seen,
        )
        look = CapturedValidation if self._captured else Validation
        about = self.val_loader, partial(autocast, place.device, self.precision), teachers
        networks = self.method.candidates().items()
        self._validation = BestOf({name: look(network, *about) for name, network in networks})

    @property
    def remarks(self) -> list[str]:
        """What was not to be had as it was asked for, a sentence each."""
        return [*self._steps.remarks, *self._validation.remarks]

    @property
    def student(self) -> StagedBackbone:
        """The network that is being trained, bare; of several the best at the last look at val."""
        return self._validation.best.student

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What updates the weights; its state is part of `state()`."""
        return self._step.optimizer

    @property
    def phase(self) -> Phase:
        """Which part of the training comes next."""
        return self.phases[self._part]

    @property
    def before(self) -> int:
        """Epochs of the phases before the main one."""
        return sum(phase.epochs for phase in self.phases[:-1])

    @property
    def trained(self) -> int:
        """Epochs trained so far, those of the phases before the main one included."""
        return sum(phase.epochs for phase in self.phases[: self._part]) + self.phase_epoch

    @property
    def _captured(self) -> bool:
        alone = self.place.world == 1 and self.place.device.type == "cuda"
        return alone and self.place.captured

    def _enter(self, part: int) -> None:
        """Begin the phase of that number."""
        self._part, self.phase_epoch = part, 0
        groups = self.method.begin_phase(self.phase.name)
        self.model = data_parallel(self.method) if self.place.world > 1 else self.method
        self._step = Step(
            self.model, self.method, self.phase, groups, self.precision, self.place.device
        )
        kind = CapturedSteps if self._captured else Steps
        first = 0 if self.phase.name == MAIN else APART * (part + 1)
        self._steps = kind(self._step, self.loader, first=first)
        if self.place.compiled and self.place.world == 1:
            whole = self.loader.slices[0]
            self._step.compiled_size = whole.stop - whole.start

    def fit(self, report: Report | None = None) -> Metrics:
        """Train the epochs that are left; returns the last epoch's metrics.

        Raises:
            DivergedError: the training loss of an epoch is not finite.
        """
        while self.epoch < self.config.epochs:
            metrics = self.run_epoch()
            if report is not None:
                report(metrics, self.state)
        return self.history[-1]

    def run_epoch(self) -> Metrics:
        """Train one epoch, and validate if it is of the main phase.

        Metrics: `epoch` (1-based), losses, val scores, time; of another phase `epoch` is 0, and
        `phase_epoch` and `phase_epochs` say how far it is.
        """
        began = time.perf_counter()
        if not self.trained:
            with torch.no_grad():
                self.method.observe(self.loader.evaluate(BATCH))
        phase = self.phase
        losses = self._train_epoch()
        trained = time.perf_counter()
        if not math.isfinite(losses["train_loss"]):
            raise DivergedError(self.phase_epoch + 1, "" if phase.name == MAIN else phase.name)
        rate = self._step.rate(self.phase_epoch + 1 - 1 / len(self.loader))
        self.phase_epoch += 1
        if phase.name != MAIN:
            told = {"phase_epoch": self.phase_epoch, "phase_epochs": phase.epochs}
            if self.phase_epoch == phase.epochs:
                self._enter(self._part + 1)
            seconds = dict.fromkeys(("train_seconds", "epoch_seconds"), trained - began)
            return {"epoch": 0, **losses, **told, "lr": rate, **seconds}
        self.epoch += 1
        metrics = {
            "epoch": self.epoch,
            **losses,
            **self.validate(),
            "lr": rate,
            "train_seconds": trained - began,
            "epoch_seconds": time.perf_counter() - began,
        }
        self.history.append(metrics)
        return metrics

    def _train_epoch(self) -> Metrics:
        number = self._steps.first + self.phase_epoch
        torch.manual_seed(mixed_seed(self.config.seed, number, self.place.rank, STEPS))
        self.model.train()
        self.method.begin_epoch(self.phase_epoch)
        sums = self._steps.run(self.phase_epoch)
        average_statistics(self.method)
        self.method.end_epoch()
        names, values = list(sums), torch.stack([v.float() for v in sums.values()])
        means = (mean_over_workers(values) / len(self.loader)).tolist()
        return dict(zip(names, means, strict=True))

    def try_out(self, steps: int, *, look: bool = True, part: int = -1) -> None:
        """Take a few steps as an epoch of a phase does, and a look at val: to see what they need.

        When it returns they are done, on a device too.
        """
        if self.phase is not self.phases[part]:
            self._enter(range(len(self.phases))[part])
        self.model.train()
        self.method.begin_epoch(0)
        sums = self._steps.run(0, steps)
        if look:
            self.validate()
        float(sums["train_loss"])

    def step(self, batch: Batch, progress: float, weight: float = 1.0) -> Loss:
        """Update the weights on one batch, `progress` epochs after the start of the training.

        `weight` is how much the batch counts among those of other workers.
        """
        self.method.begin_epoch(int(progress))
        return self._step(batch, progress, weight)

    def validate(self) -> Metrics:
        """Scores of the student alone on val: `val_acc`, `val_acc5` (percent), ECE, NLL.

        Of several candidates the best is the student from here on. Scores beside its teachers,
        where it has any (`kd.metrics`). Each worker looks at its part of the images, and all know
        all scores.
        """
        self.model.eval()
        return self._validation.scores(self.method.task.num_classes)

    def state(self) -> State:
        """All that the rest of the run depends on; tensors, the live ones, and plain values.

        Of a teacher only what tells it from others: it is there before a run goes on.
        """
        return {
            "config": self.config.to_dict(),
            "images": self.images,
            "epoch": self.epoch,
            "phase": self._part,
            "phase_epoch": self.phase_epoch,
            "history": list(self.history),
            "student": self._validation.chosen,
            "num_classes": self.method.task.num_classes,
            "in_channels": self.method.task.in_channels,
            **self._kept.state(),
            "optimizer": optimizer_state(self.optimizer),
        }

    def begin_main(self, state: State) -> None:
        """Begin the main phase with what another training had come to by then."""
        self._enter(len(self.phases) - 1)
        self._kept.load(state)

    def load_state(self, state: State) -> None:
        """Go on from `state()` of a run with the same configuration.

        The folder of the images and the teacher's file may have been moved, but the teacher is
        the same. UserError for any other state, after which this trainer is of no use. Nothing of
        `state` is held on to.
        """
        try:
            if not TrainConfig.from_dict(state["config"]).trains_as(self.config):
                raise UserError(
                    "The checkpoint belongs to another configuration; train in a new folder."
                )
            self._enter(int(state.get("phase", len(self.phases) - 1)))
            self.phase_epoch = int(state["phase_epoch" if "phase" in state else "epoch"])
            self._kept.load(state)
            # A state of before peers were compared knows one student.
            self._validation.choose(state.get("student", "student"))
            # An optimizer would take tensors of the host's as its own.
            self.optimizer.load_state_dict(snapshot(state["optimizer"]))
            self._steps.forget()
            self.history = list(state["history"])
            self.epoch = int(state["epoch"])
        except OF_THE_DEVICE:
            raise
        except DAMAGED:
            raise UnreadableError("The checkpoint") from None
