"""Seconds per training step of every method over plain cross-entropy, beside what theory says."""

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import in_turns, ratios, spread
from kd.backbones import build_backbone
from kd.config import TrainConfig
from kd.data import Images
from kd.methods import method_names
from kd.parts.teacher import Teacher
from kd.training.trainer import Place, Trainer

TARGETS = {"pskd": 1.03, "dtskd": 1.08, "drkd": 1.45}
LSSKD_OVER_THEORY = 1.1


def begun(config: TrainConfig, train: Images, val: Images, device: str) -> Trainer:
    """A training after its first step, past what the method trains before that.

    Its teachers are as large as the student.
    """
    classes = len(train.class_names)
    teachers = [Teacher(build_backbone(config.backbone, classes)) for _ in config.teachers]
    trainer = Trainer(config, train, val, place=Place.local(device), teachers=teachers)
    trainer.try_out(1, look=False)
    return trainer


class Steps:
    """One method's training steps on random images of CIFAR-100's form."""

    def __init__(self, method: str, backbone: str, batch: int, device: str) -> None:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (batch, 3, 32, 32), dtype=np.uint8)
        # Two of a class, as the methods need that train on pairs of one.
        labels = np.arange(batch, dtype=np.int64) // 2 % 100
        images = Images(pixels, labels, tuple(map(str, range(100))))
        config = TrainConfig.paper(method, backbone, "cifar100", batch_size=batch, epochs=1000)
        self.trainer = begun(config, images, images, device)
        self.batches = list(self.trainer.loader.epoch(0))

    def step(self) -> None:
        """Forward, backward and update on one batch."""
        self.trainer.step(self.batches[0], 1.0)

    def forward_flops(self) -> int:
        """Floating-point operations of the convolutions and products of one forward pass."""
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self.trainer.method(self.batches[0])
        return counter.get_total_flops()


def report(backbone: str, batch: int, rounds: int, device: str) -> None:
    """Print the table."""
    steps = {
        name: Steps(name, backbone, batch, device)
        for name in dict.fromkeys(("ce", *method_names()))
    }
    seconds = in_turns({name: s.step for name, s in steps.items()}, rounds, device)
    flops = {name: s.forward_flops() for name, s in steps.items()}
    print(f"Time per step over CE: {backbone}, batch {batch}, 32×32, 100 classes, {device}")
    print("| method | measured ratio | forward FLOPs ratio | target |\n|---|---|---|---|")
    for name in steps:
        if name == "ce":
            continue
        theory = flops[name] / flops["ce"]
        target = LSSKD_OVER_THEORY * theory if name == "lsskd" else TARGETS.get(name)
        aim = f"≤ {target:.2f}" if target else "–"
        measured = spread(ratios(seconds[name], seconds["ce"]))
        print(f"| {name} | {measured} | {theory:.2f} | {aim} |", flush=True)
