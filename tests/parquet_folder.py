"""Folders of Parquet files for tests."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def parquet_folder(
    folder: Path,
    shape: tuple[int, ...] = (8, 8),
    counts: Sequence[int] = (20, 20),
    seed: int = 0,
    **metadata: Any,
) -> Path:
    """A folder of noise of `shape`, of so many images a class; `metadata` replaces what it says."""
    draw, labels = np.random.default_rng(seed), np.repeat(np.arange(len(counts)), counts)
    about = {
        "shape": json.dumps(shape),
        "class_names": json.dumps([f"class {i}" for i in range(len(counts))]),
        "encoding": "raw-uint8",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        images = [draw.integers(0, 256, shape, np.uint8).tobytes() for _ in labels]
        table = pa.table({"image": images, "label": labels})
        pq.write_table(table.replace_schema_metadata(about | metadata), folder / f"{split}.parquet")
    return folder
