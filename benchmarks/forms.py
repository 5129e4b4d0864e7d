"""`python -m benchmarks.forms FOLDER`: what the form of the soft-label memories costs in accuracy.

The images are those of a `parquet:FOLDER`. Every form is trained with the same seeds, on one
thread: a difference is of pairs that begin with the same weights and see the same batches.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from scipy.stats import t as student

from benchmarks.timing import header
from kd import memories
from kd.config import SplitConfig, TrainConfig
from kd.data import Images, open_dataset
from kd.data.split import train_val
from kd.training.trainer import Place, Trainer

SCORES = ("val_acc", "val_nll")
Scores = dict[str, list[float]]


def forms(against: list[str]) -> Iterator[tuple[str, memories.Form, int]]:
    """(what a form is called, the form, how many probabilities of a row it keeps)."""
    yield "dense", "dense", 0
    for word in against:
        if word == "bfloat16":
            yield word, "bfloat16", 0
        else:
            yield f"compressed, k = {word}", "compressed", int(word)


def scores(config: TrainConfig, images: tuple[Images, Images], seeds: int) -> Scores:
    """What the last epoch measured on val, seed by seed."""
    found: Scores = {name: [] for name in SCORES}
    for seed in range(seeds):
        place = Place(device=torch.device("cpu"))
        last = Trainer(replace(config, seed=seed), *images, place=place).fit()
        for name, values in found.items():
            values.append(last[name])
    return found


def difference(ours: list[float], dense: list[float], digits: int) -> str:
    """Mean of the paired differences and the half-width of its 95 % interval (paired t)."""
    pairs = [a - b for a, b in zip(ours, dense, strict=True)]
    n = len(pairs)
    half = student.ppf(0.975, n - 1) * statistics.stdev(pairs) / n**0.5
    return f"{statistics.fmean(pairs):+.{digits}f} ± {half:.{digits}f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--method", default="lsskd")
    parser.add_argument("--backbone", default="resnet8")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--val-fraction", type=float, default=0.5)
    parser.add_argument("--train-size", type=int)
    parser.add_argument(
        "--against", nargs="+", default=["bfloat16", "1", str(memories.KEPT)],
        help="bfloat16, or how many probabilities of a row compressed keeps",
    )  # fmt: skip
    asked = parser.parse_args()
    torch.set_num_threads(1)
    split = SplitConfig(val_fraction=asked.val_fraction, train_size=asked.train_size)
    config = TrainConfig.paper(
        asked.method, asked.backbone, f"parquet:{asked.folder}", epochs=asked.epochs, split=split
    )
    images = train, val = train_val(open_dataset(config.dataset).train, split)
    print(header("cpu"))
    print(
        f"{asked.method}, {asked.backbone}, {os.path.basename(asked.folder)}: {len(train)} "
        f"training images, {len(val)} val images, {len(train.class_names)} classes, "
        f"{asked.epochs} epochs, n = {asked.seeds}\n"
    )
    print("| form | bytes over dense | val accuracy, % | against dense | val NLL against dense |")
    print("|---|---|---|---|---|")
    dense: Scores = {}
    began = time.monotonic()
    for name, form, kept in forms(asked.against):
        memories.KEPT = kept or memories.KEPT
        as_form = replace(config, history=form)
        found = scores(as_form, images, asked.seeds)
        dense = dense or found
        share = [
            c.memories(len(train), len(train.class_names)).nbytes
            for c in (as_form, replace(config, history="dense"))
        ]
        acc = found["val_acc"]
        against = [
            "–" if found is dense else difference(found[score], dense[score], digits)
            for score, digits in zip(SCORES, (2, 3), strict=True)
        ]
        spread = f"{statistics.fmean(acc):.2f} ± {statistics.stdev(acc):.2f}"
        print(
            f"| {name} | {share[0] / share[1]:.2f} | {spread} | {' | '.join(against)} |", flush=True
        )
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
