"""The method of a run, made of its configuration, its images and its place; its phases."""

from collections.abc import Sequence

import torch

from kd.backbones import build_backbone
from kd.config import TrainConfig
from kd.data import Images
from kd.data.device_loader import DeviceLoader
from kd.methods import build_method
from kd.methods.base import MAIN, Method, Phase, Task
from kd.methods.config import MethodConfig
from kd.parts.teacher import Teacher
from kd.training.memory import histories
from kd.training.parallel import Place


def method_of(
    config: TrainConfig,
    train: Images,
    loader: DeviceLoader,
    place: Place,
    teachers: Sequence[Teacher],
) -> Method[MethodConfig]:
    """The method on the run's device, all its weights drawn from the run's seed.

    UserError where it does not fit the backbone, its memories fit nowhere, or a teacher is missing.
    """
    num_classes, in_channels = len(train.class_names), train.images.shape[1]
    torch.manual_seed(config.seed)
    student = build_backbone(config.backbone, num_classes, in_channels)
    task = Task(
        num_classes=num_classes,
        num_samples=len(train.labels),
        epochs=config.epochs,
        in_channels=in_channels,
        image_size=loader.seen,
        steps=len(loader),
        batch_size=config.batch_size,
        labels=loader.labels,
        backbone=config.backbone,
        optimizer=config.optimizer,
        histories=histories(config, train, place),
    )
    method = build_method(config.method, config.kd, student, task, teachers)
    layout = torch.channels_last if place.device.type == "cuda" else torch.contiguous_format
    return method.to(place.device).to(memory_format=layout)


def phases_of(config: TrainConfig, method: Method[MethodConfig]) -> tuple[Phase, ...]:
    """The parts of the training that have epochs, in order; the last is the main one."""
    optimizer, cycles = config.optimizer, config.kd.cycles
    main = Phase(name=MAIN, epochs=config.epochs, optimizer=optimizer, cycles=cycles)
    return (*(phase for phase in method.phases() if phase.epochs), main)
