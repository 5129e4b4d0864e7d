"""`python -m benchmarks.packed`: a sweep whose trials share a GPU, against one trial on it.

The sweep is a whole `tuning.search` on images of CIFAR's form, and what counts are the epochs a
second between the ends of its first and its last epoch, from MLflow; the one trial takes its steps
one by one, as no graph captured them. Both train on as many images, with their val, in turns.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.sweeps import epochs_of
from benchmarks.timing import header, spread
from kd.config import TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.training.trainer import Place, Trainer

CLASSES = 100
TARGET = 8.0


def write_images(folder: Path, count: int) -> Path:
    """A data set of noise: `count` training images of 32×32, and a tenth as many of test."""
    rng = np.random.default_rng(0)
    about = {
        "shape": json.dumps([32, 32, 3]),
        "class_names": json.dumps([str(i) for i in range(CLASSES)]),
        "encoding": "raw-uint8",
    }
    for split, n in (("train", count), ("test", count // 10)):
        pixels = rng.integers(0, 256, (n, 32 * 32 * 3), dtype=np.uint8)
        table = pa.table({"image": [row.tobytes() for row in pixels], "label": np.arange(n) % 100})
        pq.write_table(table.replace_schema_metadata(about), folder / f"{split}.parquet")
    return folder


def alone(config: TrainConfig, epochs: int) -> float:
    """Epochs a second of one training that takes its steps one by one."""
    parts = train_val(open_dataset(config.dataset).train, config.split)
    made = Trainer(config, *parts, place=replace(Place.local(), captured=False))
    made.run_epoch()
    began = time.perf_counter()
    for _ in range(epochs):
        made.run_epoch()
    return epochs / (time.perf_counter() - began)


def packed(words: list[str]) -> tuple[float, float]:
    """Epochs a second of a sweep between its first and its last epoch; seconds of the command."""
    with tempfile.TemporaryDirectory() as storage:
        search = [sys.executable, "-m", "tuning.search", *words, "--storage", storage]
        began = time.perf_counter()
        subprocess.run([*search, "--name", "timed"], check=True)
        taken = time.perf_counter() - began
        epochs, _ = epochs_of(Path(storage))
    ends = sorted(end for trial in epochs.values() for end, _ in trial)
    return (len(ends) - 1) / (ends[-1] - ends[0]), taken


def main() -> None:
    """Print both rates, round by round, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet20")
    parser.add_argument("--images", type=int, default=50_000, help="of training, val among them")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("words", nargs="*", help="of tuning.search, after the method")
    arguments = parser.parse_args()
    print(header("cuda" if torch.cuda.is_available() else "cpu"), flush=True)
    rates, singles = [], []
    with tempfile.TemporaryDirectory() as folder:
        data = f"parquet:{write_images(Path(folder), arguments.images)}"
        config = TrainConfig.paper(
            "ce", arguments.backbone, data, batch_size=arguments.batch, epochs=1000
        )
        words = ["ce", "--backbone", arguments.backbone, "--dataset", data, "--local"]
        words += ["--trials", str(arguments.trials), "--epochs", str(arguments.epochs)]
        words += ["--set", f"batch_size={arguments.batch}", "--set", "split.val_fraction=0.1"]
        words += ["--scheduler", "none", "--warm-start", "none", *arguments.words]
        for _ in range(arguments.rounds):
            singles.append(alone(config, 2))
            torch.cuda.empty_cache()
            rate, taken = packed(words)
            rates.append(rate)
            print(f"alone {singles[-1]:.3f}, packed {rate:.3f} epochs/s, {taken:.1f} s", flush=True)
    over = [rate / single for rate, single in zip(rates, singles, strict=True)]
    print(f"Epochs a second of the sweep over those of one trial: {spread(over)}", end=" ")
    print(f"(target on a GPU ≥ {TARGET:g})")


if __name__ == "__main__":
    main()
