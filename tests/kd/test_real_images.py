"""Real images read by torchvision and by us are the same, to the last pixel."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from test_data import write_idx
from torchvision.datasets import CIFAR100, FashionMNIST

from kd.data import Dataset, Images, open_dataset

SHARED = Path(__file__).parents[3] / "shared" / "data"


def opened(name: str) -> Dataset:
    if not (SHARED / name).is_dir():
        pytest.skip(f"The images of ../shared/data/{name} are not beside this checkout.")
    return open_dataset(f"parquet:{SHARED / name}")


def check_same(found: Images, ours: Images, pixels: NDArray[np.uint8], labels: list[int]) -> None:
    assert found.images.shape == ours.images.shape == pixels.shape
    for images in (found, ours):
        assert np.array_equal(images.images, pixels)
        assert images.labels.tolist() == labels
    assert found.class_names == ours.class_names
    assert found.digest == ours.digest


def test_cifar100_is_what_torchvision_reads(tmp_path: Path) -> None:
    ours = opened("cifar100")
    write = SHARED / "to_torchvision.py"
    subprocess.run([sys.executable, str(write), str(tmp_path)], check=True, capture_output=True)
    found = open_dataset("cifar100", tmp_path)
    for train in (True, False):
        theirs = CIFAR100(tmp_path, train=train, download=False)
        sets = [d.train if train else d.load_test() for d in (found, ours)]
        check_same(*sets, theirs.data.transpose(0, 3, 1, 2), theirs.targets)


def test_fashion_mnist_is_what_torchvision_reads(tmp_path: Path) -> None:
    ours = opened("fashion-mnist")
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for split, images in (("train", ours.train), ("t10k", ours.load_test())):
        write_idx(raw / f"{split}-images-idx3-ubyte", images.images[:, 0])
        write_idx(raw / f"{split}-labels-idx1-ubyte", images.labels.astype(np.uint8))
    found = open_dataset("fashion-mnist", tmp_path)
    for train in (True, False):
        theirs = FashionMNIST(tmp_path, train=train, download=False)
        sets = [d.train if train else d.load_test() for d in (found, ours)]
        check_same(*sets, theirs.data.numpy()[:, None], theirs.targets.tolist())
