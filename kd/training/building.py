"""The method of a run, made of its configuration, its images and its place."""

from collections.abc import Sequence

import torch

from kd.backbones import build_backbone
from kd.config import TrainConfig
from kd.data import Images
from kd.data.device_loader import DeviceLoader
from kd.methods import build_method
from kd.methods.base import Method, Task
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
        image_size=(int(train.images.shape[2]), int(train.images.shape[3])),
        steps=len(loader),
        batch_size=config.batch_size,
        labels=loader.labels,
        backbone=config.backbone,
        histories=histories(config, train, place),
    )
    method = build_method(config.method, config.kd, student, task, teachers)
    layout = torch.channels_last if place.device.type == "cuda" else torch.contiguous_format
    return method.to(place.device).to(memory_format=layout)
