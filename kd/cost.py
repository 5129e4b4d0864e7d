"""What a backbone costs, whatever it is trained with: parameters, multiply-adds, time."""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from statistics import median

import torch

from kd.backbones import build_backbone
from kd.backbones.size import blueprint, macs, parameters

REPEATS = 30
"""Images whose times the latency is the median of, after a few that are not counted."""
Shape = tuple[int, int, int]


def costs(backbone: str, num_classes: int, image: Shape, names: Iterable[str]) -> dict[str, float]:
    """Of the student as it is handed out, without heads of its training, what `names` ask for.

    `params`: in millions. `macs`: multiply-adds of one image (C, H, W), in millions, those of
    convolutions and matrix products. `latency`: milliseconds of one image, the median, on one
    thread of this machine's CPU in float32.
    """
    ways: dict[str, Callable[[str, int, Shape], float]]
    ways = {"params": _params, "macs": _macs, "latency": _latency}
    return {name: ways[name](backbone, num_classes, image) for name in names}


def _params(backbone: str, num_classes: int, image: Shape) -> float:
    return parameters(blueprint(backbone, num_classes, image[0])) / 1e6


def _macs(backbone: str, num_classes: int, image: Shape) -> float:
    return macs(blueprint(backbone, num_classes, image[0]), image) / 1e6


@lru_cache
@torch.no_grad()
def _latency(backbone: str, num_classes: int, image: Shape) -> float:
    """Once a process and backbone, so that sweeps side by side have the same."""
    with torch.random.fork_rng(devices=[]):
        network = build_backbone(backbone, num_classes, image[0]).eval()
    one, seconds = torch.zeros(1, *image), []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(REPEATS + 5):
            began = time.perf_counter()
            network(one)
            seconds.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return 1000 * median(seconds[-REPEATS:])
