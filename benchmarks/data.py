"""How fast images come: against torchvision's loaders, and where memory does not hold them.

    python -m benchmarks.data --rounds 5

Each way hands out the same images, cropped, flipped and normalised, in batches of 128, in a process
of its own, whose peak of memory is told, of DataLoader's workers not; rounds are taken in turns:

- `pil`: torch's DataLoader with 2 workers over images in memory, and torchvision's transforms on
  PIL images, as the papers' code does it;
- `v2`: torchvision's v2 transforms on tensors, image by image, in the same process;
- `resident`: the loader of this project over images in memory;
- `stored`: the same over a prepared folder, of which nothing is kept in memory but by the system;
- `decode`: every PNG file of the images decoded by as many threads as there are cores, no more.

Then how much of a training step is not forward, backward or update.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.loading import PlainDataset
from benchmarks.timing import ratios, spread
from kd.config import AugmentConfig, TrainConfig
from kd.data import Images
from kd.data.config import ImagesConfig
from kd.data.device_loader import DeviceLoader, statistics
from kd.data.preparing import prepare
from kd.data.sources import prepared
from kd.training.parallel import Place
from kd.training.trainer import Trainer

COUNT, SIDE, BATCH, CLASSES = 32_768, 32, 128, 4
WAYS = ("pil", "v2", "resident", "stored", "decode")
TARGETS = {"pil": 10.0, "v2": 2.0}
"""How many times as fast `resident` is to be."""
AUGMENT = AugmentConfig(crop_padding=4, flip=0.5)
STEPS = 40


class Tensors(Dataset[tuple[torch.Tensor, int]]):
    """Images as tensors, with torchvision's v2 transforms."""

    def __init__(self, images: Images) -> None:
        mean, std = statistics(images)
        assert isinstance(images.images, np.ndarray)
        self.pixels, self.labels = torch.from_numpy(images.images), images.labels
        self.transform = v2.Compose(
            [
                v2.RandomCrop(SIDE, padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.pixels[index]), int(self.labels[index])


def write(folder: Path) -> None:
    """The images, as files and prepared."""
    random = np.random.default_rng(0)
    # As smooth as photographs, so that files are of a usual size.
    small = random.integers(0, 256, (COUNT, SIDE // 4, SIDE // 4, 3), np.uint8)
    for number in range(COUNT):
        place = folder / "files" / "train" / str(number % CLASSES)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small[number]).resize((SIDE, SIDE)).save(place / f"{number}.png")
    test = folder / "files" / "test"
    for number in range(CLASSES):
        (test / str(number)).mkdir(parents=True)
        Image.fromarray(small[number]).resize((SIDE, SIDE)).save(test / str(number) / "0.png")
    prepare(f"folder:{folder / 'files'}", ImagesConfig(), folder / "prepared")


def ways(folder: Path, way: str) -> Callable[[], int]:
    """What goes once over all images, and says how many it saw."""
    if way == "decode":
        files = sorted((folder / "files" / "train").rglob("*.png"))

        def decoded() -> int:
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                return sum(len(np.asarray(image)) > 0 for image in threads.map(_opened, files))

        return decoded
    prepared.RESIDENT = 0.0 if way == "stored" else 1.0
    images = prepared.Prepared(folder / "prepared", "").open().train
    if way in ("pil", "v2"):
        kind = PlainDataset if way == "pil" else Tensors
        loader = DataLoader(kind(images), BATCH, shuffle=True, num_workers=2 if way == "pil" else 0)
        return lambda: sum(len(labels) for _, labels in loader)
    normalise = statistics(images)
    ours = DeviceLoader(images, BATCH, augment=AUGMENT, statistics=normalise, device="cpu")
    epochs: Iterator[int] = iter(range(10**6))
    return lambda: sum(len(batch.labels) for batch in ours.epoch(next(epochs)))


def _opened(path: Path) -> Image.Image:
    picture = Image.open(path)
    picture.load()
    return picture


def measure(folder: Path, way: str) -> None:
    """Go over the images once for each line of the standard input; prints seconds and the peak."""
    torch.set_num_threads(1)
    once = ways(folder, way)
    once()
    for _ in sys.stdin:
        began = time.perf_counter()
        seen = once()
        seconds = time.perf_counter() - began
        told = {"seconds": seconds, "seen": seen, "peak": getrusage(RUSAGE_SELF).ru_maxrss / 1024}
        print(json.dumps(told), flush=True)


def compare(folder: Path, rounds: int) -> None:
    """Print what each way takes."""
    processes = {
        way: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.data", "--folder", str(folder), "--way", way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for way in WAYS
    }
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    peaks: dict[str, float] = {}
    for _ in range(rounds):
        for way, process in processes.items():
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            told = json.loads(process.stdout.readline())
            assert told["seen"] == COUNT
            seconds[way].append(told["seconds"])
            peaks[way] = told["peak"]
    for process in processes.values():
        process.communicate()
    print("| way | images a second | peak, MiB | `resident` is so many times as fast |")
    print("|---|---:|---:|---|")
    for way in WAYS:
        gain = spread(ratios(seconds[way], seconds["resident"]))
        target = f" (target ≥ {TARGETS[way]:g})" if way in TARGETS else ""
        speed = COUNT / median(seconds[way])
        print(f"| {way} | {speed:,.0f} | {peaks[way]:,.0f} | {gain}{target} |")
    stored = spread(ratios(seconds["decode"], seconds["stored"]))
    print(f"`stored` is {stored} times as fast as decoding alone (target ≥ 0.9).")


def share_of_loading(folder: Path) -> None:
    """Print how much of a step of resnet20 is neither forward, backward nor update."""
    torch.set_num_threads(1)
    images = prepared.Prepared(folder / "prepared", "").open().train
    config = TrainConfig.paper("ce", "resnet20", "cifar100", batch_size=BATCH, epochs=1)
    trainer = Trainer(config, images, images, place=Place.local("cpu"))
    order = trainer.loader.order(0)
    taking, updating = [], []
    for where in trainer.loader.slices[:STEPS]:
        began = time.perf_counter()
        batch = trainer.loader.take(order, where)
        taken = time.perf_counter()
        trainer.step(batch, 0.0)
        updating.append(time.perf_counter() - taken)
        taking.append(taken - began)
    shares = [t / (t + u) for t, u in zip(taking[5:], updating[5:], strict=True)]
    print(
        f"Of a step of resnet20, batch {BATCH}, {median(shares):.1%} is neither forward, backward "
        f"nor update (n = {len(shares)} steps, target < 5 %)."
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--way", choices=WAYS)
    asked = parser.parse_args()
    if asked.way:
        measure(asked.folder, asked.way)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        compare(Path(folder), asked.rounds)
        share_of_loading(Path(folder))


if __name__ == "__main__":
    main()
