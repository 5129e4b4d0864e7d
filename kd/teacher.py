"""The networks that others learn from: a copy of the student, or one of the user's choice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kd.backbones.staged import StagedBackbone
from kd.checkpoint import load_weights, save_weights
from kd.config import TrainConfig
from kd.data import Images
from kd.data.loader import statistics
from kd.errors import UserError
from kd.trainer import Place, Report, Trainer


def load_teacher(config: TrainConfig, train: Images) -> StagedBackbone | None:
    """The teacher from the file `teacher.weights`; None if the method needs none.

    Raises:
        UserError: the file is missing or damaged, or its network does not fit the images.
    """
    if not config.needs_teacher:
        return None
    path = config.teacher.weights
    if path is None:
        raise UserError(f"{config.method} learns from a teacher; give teacher.weights: FILE.")
    teacher, description = load_weights(path)
    own = (len(train.class_names), train.images.shape[1])
    its = (description["num_classes"], description["in_channels"])
    if own != its:
        raise UserError(
            f"The teacher in {path} has {its[0]} classes and {its[1]} image channels, the data "
            f"{own[0]} and {own[1]}; give a teacher trained on {config.dataset}."
        )
    return teacher


def train_teacher(
    config: TrainConfig,
    train: Images,
    val: Images,
    path: Path,
    *,
    place: Place,
    on_epoch: Callable[[dict[str, float]], None] = lambda metrics: None,
) -> TrainConfig:
    """Train the teacher of `config`, write it to `path`, and return `config` pointing there."""
    recipe = config.teacher_recipe()
    trainer = Trainer(recipe, train, val, place=place)
    report: Report = lambda metrics, state: on_epoch(metrics)  # noqa: E731
    metrics = trainer.fit(report)
    save_weights(trainer.student, path, describe(recipe, train, metrics))
    return replace(config, teacher=replace(config.teacher, weights=str(path)))


def describe(config: TrainConfig, train: Images, metrics: dict[str, float]) -> dict[str, object]:
    """What a file of weights says of itself.

    `mean` and `std` are those of each channel, of pixels in 0 … 1; `image_size` is (H, W).
    """
    mean, std = statistics(train)
    return {
        "backbone": config.backbone,
        "num_classes": len(train.class_names),
        "in_channels": int(train.images.shape[1]),
        "class_names": list(train.class_names),
        "mean": list(mean),
        "std": list(std),
        "image_size": list(train.images.shape[2:]),
        "method": config.method,
        "dataset": config.dataset,
        "epochs": config.epochs,
        "val_acc": metrics["val_acc"],
    }
