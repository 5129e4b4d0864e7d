"""The one training loop."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from kd.backbones import build_backbone
from kd.backbones.staged import StagedBackbone
from kd.config import TrainConfig
from kd.data import DatasetName, Images
from kd.data.batch import Batch
from kd.data.device_loader import DeviceLoader, mixed_seed, statistics
from kd.errors import UserError
from kd.methods import build_method
from kd.methods.base import Loss, Task
from kd.metrics import ValidationMetrics
from kd.training.checkpoint import DAMAGED, OF_THE_DEVICE, UnreadableError
from kd.training.epoch import CapturedSteps, Steps
from kd.training.parallel import (
    Place,
    average_statistics,
    data_parallel,
    mean_over_workers,
    sum_over_workers,
)
from kd.training.step import Step
from kd.training.validation import CapturedValidation, Validation

__all__ = ["DivergedError", "Metrics", "Place", "Report", "State", "Trainer"]

Metrics = dict[str, float]
State = dict[str, Any]
Report = Callable[[Metrics, Callable[[], State]], None]
"""Told after every epoch: what was measured, and a function that gives the whole state."""


class DivergedError(Exception):
    """The loss stopped being a finite number."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"the loss was not finite in epoch {epoch}")
        self.epoch = epoch


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
        teacher: the network that `config.method` learns from, if it needs one.

    Raises:
        UserError: the configuration does not fit the images, or a teacher is missing.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: Images,
        val: Images,
        *,
        place: Place,
        teacher: StagedBackbone | None = None,
    ) -> None:
        config.augment.check_fits(*train.images.shape[2:])
        self.config = config
        self.place = place
        self.epoch = 0
        self.history: list[Metrics] = []
        num_classes, in_channels = len(train.class_names), train.images.shape[1]
        torch.manual_seed(config.seed)
        student = build_backbone(config.backbone, num_classes, in_channels)
        task = Task(num_classes=num_classes, num_samples=len(train.labels), epochs=config.epochs)
        self.method = build_method(config.method, config.kd, student, task, teacher)

        on_gpu = place.device.type == "cuda"
        layout = torch.channels_last if on_gpu else torch.contiguous_format
        self.method.to(place.device).to(memory_format=layout)
        self.model = data_parallel(self.method) if place.world > 1 else self.method
        self._step = Step(self.model, config, place.device)
        normalise = statistics(train)
        self.loader = DeviceLoader(
            train,
            config.batch_size,
            augment=config.augment,
            statistics=normalise,
            device=place.device,
            seed=config.seed,
            shard=(place.rank, place.world),
        )
        if place.compiled and place.world == 1:
            first = self.loader.slices[0]
            self._step.compiled_size = first.stop - first.start
        captured = on_gpu and place.world == 1 and place.captured
        self._steps = (
            CapturedSteps(self._step, self.loader, self.method)
            if captured
            else Steps(self._step, self.loader)
        )
        self.val_loader = DeviceLoader(
            val,
            None,
            augment=None,
            statistics=normalise,
            device=place.device,
            seed=config.seed,
            shard=(place.rank, place.world),
        )
        look = CapturedValidation if captured else Validation
        self._validation = look(student, self.val_loader, self._step.autocast)

    @property
    def remarks(self) -> list[str]:
        """What was not to be had as it was asked for, a sentence each."""
        return [*self._steps.remarks, *self._validation.remarks]

    @property
    def student(self) -> StagedBackbone:
        """The network that is being trained, bare."""
        return self.method.student

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What updates the weights; its state is part of `state()`."""
        return self._step.optimizer

    @property
    def precision(self) -> torch.dtype:
        """What the network computes in."""
        return self._step.precision

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
        """Train one epoch and validate. Metrics: `epoch` (1-based), losses, val scores, time."""
        began = time.perf_counter()
        torch.manual_seed(mixed_seed(self.config.seed, self.epoch, self.place.rank))
        losses = self._train_epoch()
        trained = time.perf_counter()
        if not math.isfinite(losses["train_loss"]):
            raise DivergedError(self.epoch + 1)
        self.epoch += 1
        metrics = {
            "epoch": self.epoch,
            **losses,
            **self.validate(),
            "lr": self._step.rate(self.epoch - 1 / len(self.loader)),
            "train_seconds": trained - began,
            "epoch_seconds": time.perf_counter() - began,
        }
        self.history.append(metrics)
        return metrics

    def _train_epoch(self) -> Metrics:
        self.model.train()
        self.method.begin_epoch(self.epoch)
        sums = self._steps.run(self.epoch)
        self.method.end_epoch()
        average_statistics(self.method)
        names, values = list(sums), torch.stack([v.float() for v in sums.values()])
        means = (mean_over_workers(values) / len(self.loader)).tolist()
        return dict(zip(names, means, strict=True))

    def try_out(self, steps: int, *, look: bool = True) -> None:
        """Take a few steps as an epoch does, and a look at val: to see what they need.

        When it returns they are done, on a device too.
        """
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

        Each worker looks at its part of the images, and all of them know all scores.
        """
        self.model.eval()
        logits = self._validation.logits(self.method.task.num_classes)
        scores = ValidationMetrics()
        scores.update(sum_over_workers(logits), self.val_loader.labels)
        return scores.compute()

    def state(self) -> State:
        """All that the rest of the run depends on; tensors and plain values."""
        return {
            "config": self.config.to_dict(),
            "epoch": self.epoch,
            "history": list(self.history),
            "method": self.method.state_dict(),
            "optimizer": _plain(self.optimizer.state_dict()),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state()` of a run with the same configuration.

        The folder of the images and the teacher's file may have been moved: the state holds the
        teacher itself. UserError for any other state, after which this trainer is of no use.
        """
        try:
            if _without_paths(state["config"]) != _without_paths(self.config.to_dict()):
                raise UserError(
                    "The checkpoint belongs to another configuration; train in a new folder."
                )
            self.method.load_state_dict(state["method"])
            self.optimizer.load_state_dict(state["optimizer"])
            self._steps.forget()
            self.history = list(state["history"])
            self.epoch = int(state["epoch"])
        except OF_THE_DEVICE:
            raise
        except DAMAGED:
            raise UnreadableError("The checkpoint") from None


def _plain(optimizer: State) -> State:
    """An optimizer's state whose learning rate is a number, wherever it lay."""
    for group in optimizer["param_groups"]:
        group["lr"] = float(group["lr"])
    return optimizer


def _without_paths(config: State) -> State:
    dataset = DatasetName.parse(config["dataset"]).portable
    return {**config, "dataset": dataset, "teacher": {**config["teacher"], "weights": None}}
