"""Where images come from, by name. Importing this reads no image and no torch.

`digits` ships with scikit-learn; `cifar10`, `cifar100` and `fashion-mnist` are downloaded by
torchvision; `parquet:DIR` is a folder of anyone's own images.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from kd.config import AugmentConfig
from kd.errors import unknown

DOWNLOADED = ("cifar10", "cifar100", "fashion-mnist")


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images in memory.

    images: (N, C, H, W) uint8. labels: (N,) int64, each an index into `class_names`.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: NDArray[np.int64]) -> Self:
        """A copy of the images at `indices`, in that order."""
        return type(self)(self.images[indices], self.labels[indices], self.class_names)


@dataclass(frozen=True)
class Dataset:
    """A training set, and a test set that stays sealed until `load_test` is called."""

    name: str
    train: Images
    load_test: Callable[[], Images]


class Source(Protocol):
    """One kind of data set; each is a file of this folder."""

    def check(self) -> None:
        """Raise UserError for what can be seen to be wrong without loading the images."""

    def open(self) -> Dataset:
        """Load the training set; UserError if it cannot be had."""

    def augment(self) -> AugmentConfig:
        """The augmentation that suits these images."""


def dataset_names() -> tuple[str, ...]:
    """Every name that `open_dataset` knows; DIR stands for a folder."""
    return tuple(sorted(("digits", *DOWNLOADED, "parquet:DIR")))


def check_dataset(name: str, root: str | Path | None = None) -> None:
    """Raise UserError for an unknown name or a folder that is missing or damaged.

    Quick: it neither downloads nor loads images, so it cannot tell whether a download would
    succeed; `open_dataset` does.
    """
    _source(name, root).check()


def open_dataset(name: str, root: str | Path | None = None) -> Dataset:
    """Load the training set of `name`; UserError in one sentence if it cannot be had.

    `root` is where downloads lie: by default $KD_DATA, else ~/.cache/kd.
    """
    source = _source(name, root)
    source.check()
    return source.open()


def default_augment(name: str) -> AugmentConfig:
    """The augmentation that the papers use for `name`, or what suits images of that size."""
    return _source(name, None).augment()


def _source(name: str, root: str | Path | None) -> Source:
    kind, _, folder = name.partition(":")
    if kind == "parquet" and folder:
        from kd.data.sources.parquet import ParquetFolder

        return ParquetFolder(Path(folder).expanduser())
    if name == "digits":
        from kd.data.sources.digits import Digits

        return Digits()
    if name in DOWNLOADED:
        from kd.data.sources.downloads import Download

        return Download(name, Path(root or os.environ.get("KD_DATA", "~/.cache/kd")).expanduser())
    raise unknown("data set", name, dataset_names())
