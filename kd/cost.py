"""What a backbone costs, whatever it is trained with: parameters, multiply-adds, time."""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from kd.backbones import build_backbone
from kd.backbones.staged import StagedBackbone

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


def _network(backbone: str, num_classes: int, image: Shape) -> StagedBackbone:
    with torch.random.fork_rng(devices=[]):
        return build_backbone(backbone, num_classes, image[0]).eval()


def _params(backbone: str, num_classes: int, image: Shape) -> float:
    network = _network(backbone, num_classes, image)
    return sum(p.numel() for p in network.parameters()) / 1e6


@torch.no_grad()
def _macs(backbone: str, num_classes: int, image: Shape) -> float:
    network = _network(backbone, num_classes, image)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *image))
    operations: int = counter.get_total_flops()
    return operations / 2 / 1e6


@lru_cache
@torch.no_grad()
def _latency(backbone: str, num_classes: int, image: Shape) -> float:
    """Once a process and backbone, so that sweeps side by side have the same."""
    network, one, seconds = _network(backbone, num_classes, image), torch.zeros(1, *image), []
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
