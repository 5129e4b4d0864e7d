"""`python -m benchmarks.memory`: what a method's state takes, and what it costs to keep it.

Bytes of one checkpoint, by what they are, for a training set of CIFAR-100's size, beside those
of the form in which teacher and memories were a part of the method; and, where there is a GPU,
the peak of its memory over an epoch's first steps. Then a training of LSSKD, in turns with a
checkpoint after every epoch, as it once was, and with `CheckpointWriter`: the share of its time
in which it waits for its checkpoints, the state's copy included, and its time as a whole.
"""

import argparse
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, get_args

import numpy as np
import torch

from benchmarks.steps import begun
from benchmarks.timing import header, ratios, spread
from kd.config import TrainConfig
from kd.data import Images
from kd.memories import History
from kd.methods import method_names
from kd.training import checkpoint
from kd.training.trainer import Metrics, Place, State, Trainer
from kd.training.writer import CheckpointWriter

MIB = 2**20
PARTS = ("student", "memories", "other", "momentum")


def images(count: int, size: int = 32) -> Images:
    """Images of CIFAR-100's form, all black."""
    labels = np.arange(count, dtype=np.int64) % 100
    pixels = np.zeros((count, 3, size, size), dtype=np.uint8)
    return Images(pixels, labels, tuple(map(str, range(100))))


def as_once(trainer: Trainer) -> State:
    """The state with teacher and memories among the rest of the method."""
    return {**trainer.state(), "method": trainer.method.state_dict(), "memories": {}}


def sizes(state: State) -> dict[str, float]:
    """MiB of a state: student, memories, the rest of the method, momentum."""
    found = dict.fromkeys(PARTS, 0.0)
    for name, tensor in state["method"].items():
        found["student" if name.startswith("student.") else "other"] += tensor.nbytes / MIB
    found["memories"] = sum(tensor.nbytes for tensor in state["memories"].values()) / MIB
    momenta = state["optimizer"]["state"].values()
    found["momentum"] = sum(t.nbytes for s in momenta for t in s.values() if t is not None) / MIB
    return found


class _Counted(io.RawIOBase):
    """Takes whatever is written, and counts it."""

    size = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.size += len(content)
        return len(content)


def written(state: Mapping[str, Any]) -> float:
    """MiB of the file that a state is written to."""
    file = _Counted()
    torch.save(state, file)
    return file.size / MIB


def print_sizes(backbone: str, count: int, device: str, history: History) -> None:
    """A row of the table for each method."""
    print(f"{backbone}, {count:,} training images, 100 classes, memories {history}, MiB\n")
    print(
        "| method | checkpoint, once | now | student | memories | other | momentum | GPU's peak |"
    )
    print("|---|---|---|---|---|---|---|---|")
    train, val = images(count), images(200)
    for name in method_names():
        config = TrainConfig.paper(name, backbone, "cifar100", history=history)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        trainer = begun(config, train, val, device)
        peak = f"{torch.cuda.max_memory_allocated() / MIB:,.0f}" if device == "cuda" else "–"
        state = trainer.state()
        columns = [written(as_once(trainer)), written(state), *sizes(state).values()]
        print(f"| {name} | {' | '.join(f'{s:,.1f}' for s in columns)} | {peak} |", flush=True)


# -- what keeping it costs -------------------------------------------------------------------


class Run(NamedTuple):
    """Seconds of one training, and those of them in which it waited; how often it was kept."""

    seconds: float
    waited: float
    files: int


def trained(settings: argparse.Namespace, folder: Path, *, once: bool) -> Run:
    """One training, kept after every epoch as it `once` was, or when that is due."""
    config = TrainConfig.paper("lsskd", "resnet8", "cifar100", epochs=settings.epochs)
    train, val = images(settings.samples, 8), images(200, 8)
    trainer = Trainer(config, train, val, place=Place.local(settings.device))
    waited, files = 0.0, 0

    def save(state: State) -> None:
        nonlocal files
        checkpoint.save(state, folder / "checkpoint.pt")
        files += 1

    def report(metrics: Metrics, state: Callable[[], State]) -> None:
        nonlocal waited
        told = time.perf_counter()
        if once:
            save(as_once(trainer))
        elif trainer.epoch == config.epochs:
            writer.finish(trainer.epoch, state)
        else:
            writer.offer(trainer.epoch, metrics["epoch_seconds"], state)
        waited += time.perf_counter() - told

    began = time.perf_counter()
    with CheckpointWriter(save) as writer:
        trainer.fit(report)
    return Run(time.perf_counter() - began, waited, files)


def print_costs(settings: argparse.Namespace) -> None:
    """What is waited for, and how long the whole takes, in turns."""
    runs: dict[str, list[Run]] = {"every epoch": [], "when due": []}
    for _ in range(settings.rounds):
        for name, found in runs.items():
            with TemporaryDirectory(dir=settings.folder) as folder:
                found.append(trained(settings, Path(folder), once=name == "every epoch"))
    print(
        f"\nlsskd, resnet8, {settings.samples:,} images of 8×8, {settings.epochs} epochs, one core"
    )
    print("\n| checkpoints | files | waited for them, % of the time | seconds an epoch |")
    print("|---|---|---|---|")
    for name, found in runs.items():
        share = spread([100 * run.waited / run.seconds for run in found])
        seconds = spread([run.seconds / settings.epochs for run in found])
        files = sorted(run.files for run in found)[len(found) // 2]
        print(f"| {name} | {files} | {share} | {seconds} |")
    once, now = runs.values()
    waited = ratios([run.waited for run in now], [run.waited for run in once])
    whole = ratios([run.seconds for run in now], [run.seconds for run in once])
    print(f"\nwhen due over every epoch: waited {spread(waited)}, as a whole {spread(whole)}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet20")
    parser.add_argument("--images", type=int, default=45_000)
    parser.add_argument("--rounds", type=int, default=5, help="trainings each way; 0 for none")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--samples", type=int, default=3_000)
    parser.add_argument("--folder", help="where the checkpoints go")
    parser.add_argument("--history", choices=get_args(History), default="auto")
    settings = parser.parse_args()
    settings.device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    print(header(settings.device))
    print_sizes(settings.backbone, settings.images, settings.device, settings.history)
    if settings.rounds:
        print_costs(settings)


if __name__ == "__main__":
    main()
