"""How many copies of the images a sweep holds: a trial on each core, few images and many.

    python -m benchmarks.copies

Two searches of as many trials as there are cores, one on a tenth of the images and one on all,
both with a val set of the same size and steps of the same size. While each runs, the memory of all
its processes is added up, of what several map each its share (Linux's PSS), a few times a second.
Of the time in which all trials train, the middle one of these sums is taken, as what a step needs
comes and goes. What the many take more, divided by what they have more in bytes, is how often a
machine holds them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SIDE, CLASSES = 32, 10
TRIALS = os.cpu_count() or 1
SIZE = 3 * SIDE * SIDE  # bytes
TITLE = b"ray::ImplicitFunc"
"""Begins the name of a process that Ray runs a trial in."""


def write(path: Path, count: int, seed: int) -> None:
    """`count` images of bare pixels, as docs/data.md describes them."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, SIZE), dtype=np.uint8)
    table = pa.table(
        {"image": [row.tobytes() for row in pixels], "label": np.arange(count) % CLASSES}
    )
    about = {
        "shape": json.dumps([SIDE, SIDE, 3]),
        "class_names": json.dumps([f"class {number}" for number in range(CLASSES)]),
        "encoding": "raw-uint8",
    }
    pq.write_table(table.replace_schema_metadata(about), path)


def tree(process: int) -> Iterator[Path]:
    """The folders in /proc of a process and of all below it."""
    folder = Path("/proc", str(process))
    yield folder
    with suppress(OSError):
        for children in folder.glob("task/*/children"):
            for child in children.read_text(encoding="ascii").split():
                yield from tree(int(child))


def held(process: int) -> Iterator[tuple[str, int]]:
    """(what it is, bytes) of the process and of all below it, shared pages by their share."""
    for folder in tree(process):
        # A process may end at any time.
        with suppress(OSError, StopIteration):
            rollup = (folder / "smaps_rollup").read_text(encoding="ascii")
            line = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
            title = (folder / "cmdline").read_bytes()
            kind = "trials" if title.startswith(TITLE) else "others"
            yield kind, 1024 * int(line.split()[1])


def middle(folder: Path, storage: Path, epochs: int) -> dict[str, int]:
    """What a search over the images of `folder` held while it trained, bytes by what held it."""
    command = [
        *(sys.executable, "-m", "tuning.search", "ce", "--backbone", "resnet8", "--local"),
        *("--dataset", f"parquet:{folder}", "--storage", str(storage), "--preset", "laptop"),
        *("--trials", str(TRIALS), "--epochs", str(epochs), "--scheduler", "none"),
        *("--cpus-per-trial", "1", "--val-per-class", "50", "--set", "batch_size=128"),
    ]
    search = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seen: list[dict[str, int]] = []
    while search.poll() is None:
        now: dict[str, int] = {"trials": 0, "others": 0, "count": 0}
        for kind, size in held(search.pid):
            now[kind] += size
            now["count"] += kind == "trials"
        if now["count"] >= TRIALS:
            seen.append(now)
        time.sleep(0.2)
    said, _ = search.communicate()
    if search.returncode or not seen:
        raise SystemExit(said)
    return sorted(seen, key=lambda now: now["trials"] + now["others"])[len(seen) // 2]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60_000)
    many = parser.parse_args().images
    few = many // 10
    with tempfile.TemporaryDirectory() as name:
        found = {}
        for count in (few, many):
            folder = Path(name) / str(count)
            folder.mkdir()
            write(folder / "train.parquet", count, seed=0)
            write(folder / "test.parquet", 100, seed=1)
            found[count] = middle(folder, Path(name) / "runs", epochs=many // count)
    print("| images | MiB of pixels | trials' processes | MiB in them | MiB in all others |")
    print("|---:|---:|---:|---:|---:|")
    for count, most in found.items():
        sizes = [count * SIZE, most["trials"], most["others"]]
        pixels, trials, others = (f"{size / 2**20:,.0f}" for size in sizes)
        print(f"| {count:,} | {pixels} | {most['count']} | {trials} | {others} |")
    more = sum(found[many][kind] - found[few][kind] for kind in ("trials", "others"))
    print(f"The machine holds {more / ((many - few) * SIZE):.2f} copies, with {TRIALS} trials.")


if __name__ == "__main__":
    main()
