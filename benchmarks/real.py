"""`python -m benchmarks.real FOLDER`: searches that train, at equal budgets of epochs.

What `benchmarks.search` simulates, for real: a cut of ten classes of the images in FOLDER
(`train.parquet`, `test.parquet`), searched by this project's search and by random search that
stops no trial. What each hands out, and the paper's default, is then trained on new seeds with all
that the searches had, and measured on the test images of these classes, which no search sees.
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.timing import header
from kd.config import TrainConfig
from kd.data import Dataset, open_dataset
from kd.data.split import train_val
from kd.training.trainer import DivergedError, Place, Trainer
from tuning import run_search
from tuning.records.result import load_result
from tuning.replaying.summary import mean_of

CLASSES, PER_CLASS = 10, 250
SEARCHES = {"ours": {}, "random": {"sampler": "random", "scheduler": "none"}}
FRESH = 1000
"""The first of the seeds that what was found is measured on."""


def cut(source: Path, folder: Path) -> None:
    """Write the first ten classes of `source`, and of each the first 250 training images."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        table = pq.read_table(source / f"{part}.parquet", columns=["image", "label"])
        table = table.filter(pc.less(table["label"], CLASSES))
        labels = table["label"].to_numpy()
        most = PER_CLASS if part == "train" else len(labels)
        rows = np.sort(np.concatenate([np.flatnonzero(labels == c)[:most] for c in range(CLASSES)]))
        about = dict(table.schema.metadata)
        about[b"class_names"] = json.dumps(json.loads(about[b"class_names"])[:CLASSES]).encode()
        kept = table.take(pa.array(rows)).replace_schema_metadata(about)
        pq.write_table(kept, folder / f"{part}.parquet")


def on_test(config: TrainConfig, images: Dataset, seeds: int) -> list[float]:
    """Test accuracies in percent of the configuration, trained anew; 0 where it diverged."""
    (training, _), test = train_val(images.train, config.split), images.load_test()
    scores = []
    for seed in range(FRESH, FRESH + seeds):
        trainer = Trainer(replace(config, seed=seed), training, test, place=Place.local("cpu"))
        try:
            scores.append(float(trainer.fit()["val_acc"]))
        except DivergedError:
            scores.append(0.0)
    return scores


def main() -> None:
    """Print what each search hands out for each seed, and the differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--method", default="dtskd")
    parser.add_argument("--backbone", default="resnet8")
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--trials", type=int, default=16, help="the budget, in whole trials")
    parser.add_argument("--repeats", type=int, default=3, help="searches of each kind")
    parser.add_argument("--fresh", type=int, default=3, help="seeds that each is measured on")
    parser.add_argument("--storage", type=Path, required=True)
    asked = parser.parse_args()
    folder = asked.storage / "ten-classes"
    cut(asked.folder, folder)
    dataset = f"parquet:{folder.absolute()}"
    images = open_dataset(dataset)
    print(header("cpu"))
    found: dict[str, list[float]] = {name: [] for name in (*SEARCHES, "default")}
    for seed in range(asked.repeats):
        for name, flags in SEARCHES.items():
            result = run_search(
                asked.method, backbone=asked.backbone, dataset=dataset, epochs=asked.epochs,
                epochs_total=asked.trials * asked.epochs, seed=seed, local=True, verbose=False,
                preset="laptop", warm_start="none", name=f"{name}-{seed}", storage=asked.storage,
                trials=asked.trials if name == "random" else 4 * asked.trials, **flags,
            )  # fmt: skip
            assert result.best is not None
            found[name].append(statistics.fmean(on_test(result.best, images, asked.fresh)))
        paper = load_result(asked.storage, result.name).default
        assert paper is not None
        default = TrainConfig.from_dict(paper.config)
        found["default"].append(statistics.fmean(on_test(default, images, asked.fresh)))
        print(seed, *(f"{name} {scores[-1]:.2f}" for name, scores in found.items()), flush=True)
    for name, scores in found.items():
        print(f"{name}: {mean_of(scores)} % test")
    pairs = zip(found["ours"], found["random"], strict=True)
    print(f"ours - random: {mean_of([a - b for a, b in pairs])} points, n = {asked.repeats}")


if __name__ == "__main__":
    main()
