"""`python -m benchmarks.memory`: what a method's state takes, and its training on a GPU.

Bytes of one checkpoint, by what they are, for a training set of CIFAR-100's size; and, where
there is a GPU, the peak of its memory over an epoch's first steps.
"""

import argparse
import io
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import torch

from benchmarks.timing import header
from kd.backbones import build_backbone
from kd.config import TrainConfig
from kd.data import Images
from kd.memories import History
from kd.methods import method_names
from kd.parts.teacher import Teacher
from kd.training.trainer import Place, Trainer

MIB = 2**20


def images(count: int) -> Images:
    """Images of CIFAR-100's form, all black."""
    labels = np.arange(count, dtype=np.int64) % 100
    pixels = np.zeros((count, 3, 32, 32), dtype=np.uint8)
    return Images(pixels, labels, tuple(map(str, range(100))))


def sizes(trainer: Trainer) -> dict[str, float]:
    """MiB of a checkpoint: student, teacher, histories, the rest of the method, momentum."""
    trainer.step(next(trainer.loader.epoch(0)), 0.0)
    state = trainer.state()
    found = dict.fromkeys(("student", "teacher", "history", "other", "momentum"), 0.0)
    for name, tensor in state["method"].items():
        part = name.partition(".")[0]
        kind = "history" if "history" in part else part if part in found else "other"
        found[kind] += tensor.nbytes / MIB
    momenta = state["optimizer"]["state"].values()
    found["momentum"] = sum(t.nbytes for s in momenta for t in s.values() if t is not None) / MIB
    return found


def written(state: Mapping[str, Any]) -> float:
    """MiB of the file that a state is written to."""
    content = io.BytesIO()
    torch.save(state, content)
    return content.tell() / MIB


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet20")
    parser.add_argument("--images", type=int, default=45_000)
    parser.add_argument("--history", choices=get_args(History), default="auto")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(header(device))
    print(
        f"{arguments.backbone}, {arguments.images:,} training images, 100 classes, memories "
        f"{arguments.history}, MiB\n"
    )
    print(
        "| method | checkpoint | student | teacher | history | other | momentum | peak on a GPU |"
    )
    print("|---|---|---|---|---|---|---|---|")
    train, val = images(arguments.images), images(200)
    for name in method_names():
        config = TrainConfig.paper(name, arguments.backbone, "cifar100", history=arguments.history)
        teachers = [Teacher(build_backbone(arguments.backbone, 100)) for _ in config.teachers]
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        trainer = Trainer(config, train, val, place=Place.local(device), teachers=teachers)
        parts = sizes(trainer)
        peak = f"{torch.cuda.max_memory_allocated() / MIB:,.0f}" if device == "cuda" else "–"
        columns = [f"{size:,.1f}" for size in (written(trainer.state()), *parts.values())]
        print(f"| {name} | {' | '.join(columns)} | {peak} |", flush=True)


if __name__ == "__main__":
    main()
