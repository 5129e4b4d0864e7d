"""The networks that others learn from: a copy of the student, or one of the user's choice."""

import os
import stat
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np

from kd.backbones.staged import StagedBackbone
from kd.config import TeacherConfig, TrainConfig
from kd.data import DatasetInfo, Images
from kd.data.device_loader import Statistics, statistics
from kd.errors import UserError, brief
from kd.parts.teacher import Teacher
from kd.teachers import check_pairs
from kd.training.checkpoint import as_weights, load_weights, save_weights
from kd.training.trainer import Metrics, Place, Trainer

TOLERANCE = 0.1
"""How far the statistics of pixels in 0 … 1 may differ between two samples of the same images.

The mean of 50 images strays from that of 1,000 by up to 0.07 (CIFAR-100, 200 draws).
"""

GUESS = 1.25
"""By which factor a teacher must be better than naming the most frequent class, to be of use."""


def load_teachers(
    config: TrainConfig, train: Images, say: Callable[[str], None] | None = None
) -> list[Teacher]:
    """The teachers from the files of `config`, in their order; none if the method needs none.

    Each sees images as in its own training. `say` is told of what a file leaves open.

    Raises:
        UserError: a file is missing or damaged, or its network does not fit the images, was
            trained on others or on val images of this split, or has weights that are no numbers.
    """
    found: list[Teacher] = []
    ours = statistics(train) if config.teachers else ((), ())
    for teacher in config.teachers:
        classes, channels = len(train.class_names), train.images.shape[1]
        network, description = _load(config, teacher, classes, channels)
        if (other := _differing(description, train, ours)) is not None:
            raise UserError(
                f"The teacher in {teacher.weights} was trained on images of {other}; give a "
                f"teacher trained on {brief(config.dataset)}."
            )
        seen = _saw_val(description, config, train)
        if seen and not teacher.saw_val:
            raise UserError(
                f"The teacher in {teacher.weights} was trained on val images of this split, so "
                f"val would flatter its students; give one that was trained with {_cut(config)} in "
                "its file, or teacher.saw_val: true in a file (--teacher-saw-val in a search) to "
                "go on all the same."
            )
        if say is not None and (why := doubts(description, train)):
            say(f"The teacher in {teacher.weights} {why}; give one that was trained for longer.")
        if seen is None and say is not None:
            other = "was trained on other images than these, as far as its file says"
            unknown = "does not say which images it was trained on"
            why = other if description.get("images") else unknown
            say(
                f"The teacher in {teacher.weights} {why}; if val was among them, val flatters its "
                "students."
            )
        found.append(Teacher(network, ours, _statistics(description), teacher.weight))
    return found


def check_teachers(config: TrainConfig, info: DatasetInfo) -> list[StagedBackbone]:
    """The teachers of `config` that are given as files, as far as it learns from them itself.

    UserError as of `load_teachers`, as far as it can be seen without the images.
    """
    found = []
    for teacher in config.teachers:
        given = next((one for one in teacher.line if one.weights), None)
        if given is not None:
            network, _ = _load(config, given, len(info.counts), info.channels)
            if given is teacher:
                found.append(network)
    check_pairs(config, found)
    return found


def doubts(description: dict[str, Any], train: Images) -> str | None:
    """What speaks against a teacher, as far as its file says; None where nothing does.

    description: as `describe` makes it, or as a checkpoint says of its student.
    """
    if (planned := description.get("of_epochs")) is not None:
        return f"had {description.get('epochs')} of its {planned} epochs when it was written"
    share = 100 * max(train.counts.values()) / max(len(train), 1)
    score = description.get("val_acc")
    if isinstance(score, int | float) and score <= min(GUESS * share, share + 5):
        return (
            f"is right on {score:.2f} % of its val images, and one that always names the most "
            f"frequent class on {share:.2f} %, so there is nothing to learn from it"
        )
    return None


def _cut(config: TrainConfig) -> str:
    """How val is cut, as it is written in a file of a training."""
    split = config.split
    fields = ["val_fraction" if split.val_per_class is None else "val_per_class"]
    fields += ["seed"] if split.seed else []
    return f"split: {{{', '.join(f'{name}: {getattr(split, name)}' for name in fields)}}}"


def _saw_val(description: dict[str, Any], config: TrainConfig, train: Images) -> bool | None:
    """Whether a teacher's training saw val images of this split; None where nobody knows.

    A val set that comes with the images is the same for all. Of the same images, the same seed
    cuts the same val, however few the rest is cut down to; and a larger val holds a smaller one,
    where every class has at least an image more in it.
    """
    split = description.get("split")
    if not isinstance(split, dict) or description.get("images") != train.whole:
        return None
    if split.get("train_on_val"):
        return True
    if "+" in str(train.whole):
        # The digest of what has a val set of its own.
        return False
    ours, its = config.split, split.get("val_fraction")
    if not isinstance(its, float) or not isinstance(split.get("seed"), int):
        return None
    if (ours.val_per_class, ours.seed) != (split.get("val_per_class"), split["seed"]):
        return True
    if ours.val_per_class is not None:
        return False
    fewest = min(count for count in train.counts.values() if count)
    larger = fewest * (its - ours.val_fraction) >= 1
    return not (larger or its == ours.val_fraction)


def _statistics(description: dict[str, Any]) -> Statistics | None:
    """What normalised the images of a teacher's training, if its file says."""
    if "mean" not in description or "std" not in description:
        return None
    return tuple(description["mean"]), tuple(description["std"])


def _load(
    config: TrainConfig, teacher: TeacherConfig, num_classes: int, channels: int
) -> tuple[StagedBackbone, dict[str, Any]]:
    """The teacher and its description; UserError unless it fits so many classes and channels.

    And is the network that it is said to be.
    """
    path = teacher.weights
    if path is None:
        raise UserError(f"{config.method} learns from a teacher; give teacher.weights: FILE.")
    read_teacher(path)
    network, description = load_weights(path)
    if not all(values.isfinite().all() for values in network.state_dict().values()):
        raise UserError(
            f"The teacher in {path} has weights that are not finite; give one whose training did "
            "not diverge."
        )
    if teacher.backbone not in (None, own := description["backbone"]):
        raise UserError(
            f"The teacher in {path} is {own}, and teacher.backbone says {teacher.backbone}; leave "
            "that away, or give another file."
        )
    its = (description["num_classes"], description["in_channels"])
    if its != (num_classes, channels):
        raise UserError(
            f"The teacher in {path} has {its[0]} classes and {its[1]} image channels, the data "
            f"{num_classes} and {channels}; give a teacher trained on {brief(config.dataset)}."
        )
    return network, description


def read_teacher(path: str | Path, remedy: str = "give another file") -> bytes:
    """The weights in the file of a teacher, as `save_weights` writes them.

    UserError where it cannot be read, naming `remedy`.
    """
    try:
        # Opening a pipe would wait for a writer.
        reason = None if stat.S_ISREG(os.stat(path).st_mode) else "it is not a file"
        if reason is None and is_zipfile(path):
            return as_weights(*load_weights(path))
        if reason is None:
            return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no file's name"
    # Of a short name, a person asks: from where?
    where = brief(path) if os.path.isabs(path) else f"{brief(path)} (in {brief(os.getcwd())})"
    raise UserError(f"The teacher {where} cannot be read: {reason}; {remedy}.")


def _differing(description: dict[str, Any], train: Images, ours: Statistics) -> str | None:
    """In what the images of a teacher's training differ from `train`, as far as its file says."""
    names = list(train.class_names)
    if description.get("class_names", names) != names:
        return "other classes"
    for name, own in zip(("mean", "std"), ours, strict=True):
        its = description.get(name, list(own))
        numbers = isinstance(its, list) and all(isinstance(v, int | float) for v in its)
        if not numbers or len(its) != len(own) or not np.allclose(its, own, rtol=0, atol=TOLERANCE):
            return f"another {name} of pixels"
    return None


def train_teacher(
    recipe: TrainConfig,
    train: Images,
    val: Images,
    path: Path,
    *,
    place: Place,
    fit: Callable[[Trainer], Metrics] = Trainer.fit,
) -> None:
    """Train a teacher by its `recipe`, and write it to `path`.

    One that learns from a teacher itself needs that one's file in the recipe. `fit` trains to the
    last epoch, and returns its metrics.
    """
    trainer = Trainer(recipe, train, val, place=place, teachers=load_teachers(recipe, train))
    metrics = fit(trainer)
    save_weights(trainer.student, path, describe(recipe, train, metrics))


def describe(config: TrainConfig, train: Images, metrics: dict[str, float]) -> dict[str, object]:
    """What a file of weights says of itself.

    `mean` and `std` are those of each channel, of pixels in 0 … 1; `image_size` is (H, W).
    `images` is the digest of all that `split` cut into training and val images.
    """
    mean, std = statistics(train)
    return {
        "backbone": config.backbone,
        "num_classes": len(train.class_names),
        "in_channels": int(train.images.shape[1]),
        "class_names": list(train.class_names),
        "mean": list(mean),
        "std": list(std),
        "image_size": list(config.augment.seen(train.size)),
        "method": config.method,
        "dataset": config.dataset,
        "epochs": config.epochs,
        "split": asdict(config.split),
        "images": train.whole,
        "val_acc": metrics["val_acc"],
    }
