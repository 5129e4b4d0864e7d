"""The kinds of data sets, one file each, and the registry that opens them by name."""

import os
from pathlib import Path
from typing import Protocol

from kd.data.config import AugmentConfig
from kd.data.images import Dataset
from kd.data.names import DOWNLOADED, DatasetName, dataset_names
from kd.errors import unknown


class Source(Protocol):
    """One kind of data set; each is a file of this folder."""

    def check(self) -> None:
        """Raise UserError for what can be seen to be wrong without loading the images."""

    def open(self) -> Dataset:
        """Load the training set; UserError if it cannot be had."""

    def augment(self) -> AugmentConfig:
        """The augmentation that suits these images."""


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
    dataset = DatasetName.parse(name)
    if dataset.folder is not None:
        from kd.data.sources.parquet import ParquetFolder

        return ParquetFolder(dataset.folder)
    if dataset.kind == "digits":
        from kd.data.sources.digits import Digits

        return Digits()
    if dataset.kind in DOWNLOADED:
        from kd.data.sources.downloads import Download

        folder = Path(root or os.environ.get("KD_DATA", "~/.cache/kd")).expanduser()
        return Download(dataset.kind, folder)
    raise unknown("data set", name, dataset_names())
