"""How the benchmarks time things: in turns, so that a noisy machine harms both sides alike."""

import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch

WARM_UP = 3


def in_turns(
    tasks: Mapping[str, Callable[[], object]], rounds: int, device: str = "cpu"
) -> dict[str, list[float]]:
    """Seconds of every task in every round; the tasks take turns within a round."""
    for task in tasks.values():
        for _ in range(WARM_UP):
            task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            _wait(device)
            began = time.perf_counter()
            task()
            _wait(device)
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratios(a: list[float], b: list[float]) -> list[float]:
    """a/b, round by round."""
    return [x / y for x, y in zip(a, b, strict=True)]


def spread(values: list[float]) -> str:
    """`median (mean ± standard deviation, n)`."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    mean = statistics.fmean(values)
    return f"{statistics.median(values):.3f} (mean {mean:.3f} ± {deviation:.3f}, n={len(values)})"


def header(device: str) -> str:
    """Where and with what command the figures below were measured."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    module = getattr(sys.modules["__main__"], "__spec__", None)
    command = f"python -m {module.name}" if module else sys.argv[0]
    return f"{time.strftime('%Y-%m-%d')} · {name} · torch {torch.__version__} · {command}"


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
