"""`python -m benchmarks.methods`: what each method costs over plain cross-entropy.

Time per step in turns, the forward pass's operations, the peak of memory of a few steps, and what
is kept: what it remembers of each image, and a checkpoint, for a training set of CIFAR-100's size.
Beside it stands what is published of it, or follows from its equation. A teacher is as large as
the student; hints, heads and boundaries that a method trains first are not in a step.

On a GPU the peak is the device's. On a CPU it is a process's own, so each method has one, as Linux
counts it.
"""

import argparse
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.memory import MIB, images, sizes, written
from benchmarks.steps import Steps, begun
from benchmarks.timing import header, in_turns, ratios, spread
from kd.config import TrainConfig
from kd.methods import method_names
from kd.training.trainer import State

PUBLISHED = {
    "lsr": 1.0,
    "kd": 1.33,
    "tfkd_self": 1.33,
    "tfkd_reg": 1.0,
    "cskd": 1.33,
    "pskd": 1.0,
    "byot": 1.07,
    "dks": 2.2,
    "frskd": 1.7,
    "ddgsd": 2.0,
    "mixskd": 4.9,
    "drkd": 1.45,
    "dtskd": 1.05,
    "lsskd": 10.5,
    "uskd": 1.0,
}
"""Time over cross-entropy, of the papers or of their authors' code; the highest of a range."""
FEW = 500
"""Images beside whose state the whole set's is laid: what is larger by then is remembered."""


def peak(method: str, backbone: str, batch: int, device: str) -> float:
    """MiB that a few steps take at most: of the device, or of a process of its own."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        _steps(method, backbone, batch, device)
        return torch.cuda.max_memory_allocated() / MIB
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_own_peak, (method, backbone, batch))


def _steps(method: str, backbone: str, batch: int, device: str) -> None:
    steps = Steps(method, backbone, batch, device)
    for _ in range(3):
        steps.step()


def _own_peak(method: str, backbone: str, batch: int) -> float:
    torch.set_num_threads(1)
    _steps(method, backbone, batch, "cpu")
    # Not getrusage's, which is no less than that of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    (most,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(most) / 1024


def kept(method: str, backbone: str, count: int, device: str) -> tuple[float, float]:
    """MiB that are remembered of so many training images, and of a checkpoint."""
    whole, few = _state(method, backbone, count, device), _state(method, backbone, FEW, device)
    grown = sum(sizes(whole).values()) - sum(sizes(few).values())
    return grown * count / (count - FEW), written(whole)


def _state(method: str, backbone: str, count: int, device: str) -> State:
    config = TrainConfig.paper(method, backbone, "cifar100")
    return begun(config, images(count), images(200), device).state()


def report(names: Sequence[str], asked: argparse.Namespace) -> None:
    """Print the table."""
    backbone, batch, device = asked.backbone, asked.batch, asked.device
    steps = {name: Steps(name, backbone, batch, device) for name in dict.fromkeys(("ce", *names))}
    seconds = in_turns({name: s.step for name, s in steps.items()}, asked.rounds, device)
    flops = {name: s.forward_flops() for name, s in steps.items()}
    plain = peak("ce", backbone, batch, device)
    print(f"{backbone}, batch {batch}, 32×32, 100 classes, {device}; kept of {asked.samples:,}\n")
    print(
        "| method | time over CE | operations | published | peak over CE, MiB | memories, MiB "
        "| checkpoint, MiB |\n|---|---|---|---|---|---|---|"
    )
    for name in steps:
        memories, file = kept(name, backbone, asked.samples, device)
        columns = [
            spread(ratios(seconds[name], seconds["ce"])),
            f"{flops[name] / flops['ce']:.2f}",
            f"{PUBLISHED[name]:.2f}" if name in PUBLISHED else "–",
            f"{peak(name, backbone, batch, device) - plain:,.0f}",
            f"{memories:,.1f}",
            f"{file:,.1f}",
        ]
        print(f"| {name} | {' | '.join(columns)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="*", default=None)
    parser.add_argument("--backbone", default="resnet20")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=50_000, help="training images")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(header(asked.device))
    report(asked.methods or method_names(), asked)


if __name__ == "__main__":
    main()
