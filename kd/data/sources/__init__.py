"""The kinds of data sets, one file each, and the registry that opens them by name."""

import os
from pathlib import Path
from typing import Protocol

from kd.data.config import AugmentConfig
from kd.data.images import Dataset, DatasetInfo
from kd.data.names import DOWNLOADED, DatasetName, dataset_names
from kd.errors import UserError, brief, unknown


class Source(Protocol):
    """One kind of data set; each is a file of this folder."""

    def check(self) -> DatasetInfo:
        """What is known of the training images without loading them; UserError for what is wrong.

        The downloads answer as they are published, whatever lies in their folder.
        """

    def open(self) -> Dataset:
        """Load the training set; UserError if it cannot be had."""

    def augment(self) -> AugmentConfig:
        """The augmentation that suits these images."""


def check_dataset(
    name: str, root: str | Path | None = None, remedy: str | None = None
) -> DatasetInfo:
    """What is known of `name`; UserError for an unknown name, a missing or damaged folder.

    Quick: it neither downloads nor loads images, so it cannot tell whether a download would
    succeed; `open_dataset` does. `remedy` says what to do where there are no images, in a
    command where another name cannot be given.
    """
    return _source(name, root, remedy).check()


def open_dataset(name: str, root: str | Path | None = None, remedy: str | None = None) -> Dataset:
    """Load the training set of `name`; UserError in one sentence if it cannot be had.

    `root` is where downloads lie: by default $KD_DATA, else ~/.cache/kd. `remedy` is as for
    `check_dataset`.
    """
    source = _source(name, root, remedy)
    source.check()
    return source.open()


def default_augment(name: str) -> AugmentConfig:
    """The augmentation that the papers use for `name`, or what suits images of that size."""
    return _source(name, None, None).augment()


def _source(name: str, root: str | Path | None, remedy: str | None) -> Source:
    dataset = DatasetName.parse(name)
    if root is not None and os.path.isfile(root):
        raise UserError(f"{brief(root)} is not a folder; set KD_DATA or --data-root to one.")
    if dataset.folder is not None:
        from kd.data.sources.parquet import ParquetFolder

        return ParquetFolder(dataset.folder, remedy or "give parquet:FOLDER one")
    if dataset.kind == "digits":
        from kd.data.sources.digits import Digits

        return Digits()
    if dataset.kind in DOWNLOADED:
        from kd.data.sources.downloads import Download

        # Path.expanduser raises for a `~` before a name that no user has.
        folder = Path(os.path.expanduser(root or os.environ.get("KD_DATA", "~/.cache/kd")))
        otherwise = "type --dataset digits, or --dataset parquet:FOLDER for your own images"
        return Download(dataset.kind, folder, remedy or otherwise)
    raise unknown("data set", name, dataset_names())
