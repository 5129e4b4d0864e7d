"""docs/data.md: what it writes can be searched, and what it says of augmentation is true."""

import re
from pathlib import Path

import numpy as np
import pytest

from kd.data import check_dataset, default_augment, open_dataset

PAGE = Path(__file__).parents[1] / "docs" / "data.md"


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
LABELS = np.array([0, 1, 0, 1, 0, 1])


@pytest.fixture(scope="module")
def scope():
    """What the page's code defines, in its order."""
    defined = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(code, defined)
    return defined


def test_a_folder_that_the_page_writes_is_read(scope, tmp_path):
    for split in ("train", "test"):
        scope["write_folder"](tmp_path / split, IMAGES, LABELS, ["cat", "dog"])
    dataset = open_dataset(f"folder:{tmp_path}")
    in_order = IMAGES[np.argsort(LABELS, kind="stable")].transpose(0, 3, 1, 2)
    for read in (dataset.train, dataset.load_test()):
        assert np.array_equal(read.images, in_order)
        assert read.class_names == ("cat", "dog")


def test_a_tiny_imagenet_that_the_page_writes_is_read(scope, tmp_path):
    sets = (IMAGES, LABELS), (IMAGES[:4], LABELS[:4])
    scope["write_tiny_imagenet"](tmp_path, *sets, ["n01443537", "n01629819"])
    dataset = open_dataset(f"tiny-imagenet:{tmp_path}")
    assert dataset.train.counts == {"n01443537": 3, "n01629819": 3}
    assert dataset.load_test().labels.tolist() == [0, 1, 0, 1]


def test_hugging_faces_files_that_the_page_writes_are_read(scope, tmp_path):
    for split in ("train", "test"):
        scope["write_files"](tmp_path / f"{split}.parquet", IMAGES, LABELS)
    read = open_dataset(f"parquet:{tmp_path}").train
    assert np.array_equal(read.images, IMAGES.transpose(0, 3, 1, 2))
    assert read.class_names == ("0", "1")


def test_what_the_page_writes_is_read(scope, tmp_path):
    images, labels = IMAGES, LABELS
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
