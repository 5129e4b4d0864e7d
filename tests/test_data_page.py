"""docs/data.md: what it writes can be searched, and what it says of augmentation is true."""

import re
from pathlib import Path

import numpy as np

from kd.data import check_dataset, default_augment, open_dataset

PAGE = Path(__file__).parents[1] / "docs" / "data.md"


def test_what_the_page_writes_is_read(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    scope = {}
    exec(code, scope)
    images = np.arange(6 * 16 * 16 * 3, dtype=np.uint8).reshape(6, 16, 16, 3)
    labels = np.array([0, 1, 0, 1, 0, 1])
    for split in ("train", "test"):
        scope["write"](tmp_path / f"{split}.parquet", images, labels, ["cat", "dog"])
    info = check_dataset(f"parquet:{tmp_path}")
    assert info.size == (16, 16)
    assert info.counts == {"cat": 3, "dog": 3}
    read = open_dataset(f"parquet:{tmp_path}").train
    assert np.array_equal(read.images, images.transpose(0, 3, 1, 2))
    assert np.array_equal(read.labels, labels)
    usual = default_augment(f"parquet:{tmp_path}")
    assert (usual.crop_padding, usual.flip) == (16 // 8, 0.5)
