"""The kinds of data sets, and the registry that opens them by name."""

import os
import shlex
from functools import partial
from pathlib import Path
from typing import Protocol

from kd.data.config import AugmentConfig, ImagesConfig
from kd.data.images import Dataset, DatasetInfo
from kd.data.names import (
    DOWNLOADED,
    FOLDER,
    IMAGENET,
    PARQUET,
    PREPARED,
    TINY_IMAGENET,
    DatasetName,
    data_root,
    dataset_names,
    kinds_of,
)
from kd.errors import UserError, brief, unknown
from kd.plugins import DATA, added, made, wrong

OWN = "type --dataset digits, or --dataset folder:DIR or parquet:FOLDER for your own images"
REMEDIES = {
    PARQUET: "give parquet:FOLDER one",
    FOLDER: "give folder:DIR one",
    PREPARED: "give prepared:DIR one",
    IMAGENET: "unpack ILSVRC 2012 from image-net.org so that train and val hold a folder for each "
    "class, or give imagenet:DIR",
    TINY_IMAGENET: "unpack cs231n.stanford.edu/tiny-imagenet-200.zip there, or give "
    "tiny-imagenet:DIR",
}
"""What to do where there are no images of a kind that lies in a folder."""
FLAGS = {
    "size": "--resize",
    "convert": "--convert-images",
    "skip_bad": "--skip-bad-images",
    "val": "--val",
}
"""What is typed in a search for each key of the section `images`."""


class Source(Protocol):
    """One kind of data set."""

    def check(self) -> DatasetInfo:
        """What is known of the training images without loading them; UserError for what is wrong.

        The downloads answer as they are published, whatever lies in their folder.
        """

    def verify(self) -> DatasetInfo | None:
        """Read the images of all sets and keep none; UserError for one that `open` would refuse.

        What is known of them then; None where that is what `check` says. Nothing is downloaded.
        """

    def open(self) -> Dataset:
        """Load the training set; UserError if it cannot be had."""

    def augment(self) -> AugmentConfig:
        """The augmentation that suits these images."""


def check_dataset(
    name: str,
    root: str | Path | None = None,
    remedy: str | None = None,
    images: ImagesConfig | None = None,
) -> DatasetInfo:
    """What is known of `name`; UserError for an unknown name, a missing or damaged folder.

    Quick: it neither downloads nor decodes images, so it cannot tell whether a download would
    succeed, or every file is whole; `open_dataset` does. `remedy` says what to do where there are
    no images, in a command where another name cannot be given. `images` says what is made of
    files.
    """
    return find_source(name, root, remedy, images).check()


def open_dataset(
    name: str,
    root: str | Path | None = None,
    remedy: str | None = None,
    images: ImagesConfig | None = None,
) -> Dataset:
    """Load the training set of `name`; UserError in one sentence if it cannot be had.

    `root` is where downloads lie: by default $KD_DATA, else ~/.cache/kd. `remedy` and `images` are
    as for `check_dataset`.
    """
    source = find_source(name, root, remedy, images)
    source.check()
    return source.open()


def verify_dataset(
    name: str, root: str | Path | None = None, images: ImagesConfig | None = None
) -> DatasetInfo:
    """Decode each image of `name` once, where they are files, and keep none.

    What is known then: images that are left out are not counted. UserError for what is damaged, of
    the test set too, of which nothing else is looked at.
    """
    source = find_source(name, root, None, images)
    return source.verify() or source.check()


def default_augment(name: str, images: ImagesConfig | None = None) -> AugmentConfig:
    """The augmentation that the papers use for `name`, or what suits images of that size."""
    return find_source(name, None, None, images).augment()


def find_source(
    name: str, root: str | Path | None, remedy: str | None, images: ImagesConfig | None
) -> Source:
    """The source of `name`; arguments and errors are those of `check_dataset`."""
    dataset, images = DatasetName.parse(name), images or ImagesConfig()
    if root is not None and os.path.isfile(root):
        raise UserError(f"{brief(root)} is not a folder; set KD_DATA or --data-root to one.")
    if (folder := dataset.lies_in(root)) is not None:
        if remedy is None:
            _check_kind(dataset, folder)
        return _of_files(dataset, folder, remedy or REMEDIES[dataset.kind], images)
    ours = dataset.kind == "digits" or dataset.kind in DOWNLOADED
    if not ours and dataset.kind not in added(DATA):
        folder = Path(os.path.expanduser(name))
        if name and "\0" not in name and (kinds := kinds_of(folder)):
            meant = brief(f"{kinds[0]}:{name}")
            raise UserError(f"There is no data set '{brief(name)}'; did you mean '{meant}'?")
        raise unknown("data set", name, dataset_names())
    _check_unchanged(dataset.kind, images)
    if not ours:
        found: Source = made(DATA, dataset.kind, data_root(root))
        for method in ("check", "verify", "open", "augment"):
            if not callable(getattr(found, method, None)):
                what = f"{type(found).__name__}, which has no method `{method}`"
                raise wrong(DATA, dataset.kind, f"gives {what}")
        return found
    if dataset.kind == "digits":
        from kd.data.sources.digits import Digits

        return Digits()
    from kd.data.sources.downloads import Download

    return Download(dataset.kind, data_root(root), remedy or OWN)


def _check_kind(dataset: DatasetName, folder: Path) -> None:
    """Raise UserError where another kind of data set lies in the folder than its name says."""
    kinds = kinds_of(folder) if dataset.kind in (PARQUET, FOLDER, PREPARED) else []
    if not kinds or dataset.kind in kinds:
        return
    where, meant = brief(folder.absolute()), brief(shlex.quote(f"{kinds[0]}:{folder}"))
    if dataset.kind == PREPARED:
        raise UserError(
            f"{where} is not prepared; give {meant}, or prepare it: python -m kd.data {meant} "
            "--to DIR."
        )
    held = {PREPARED: "prepared images", PARQUET: "Parquet files", FOLDER: "no Parquet file"}
    classes = ", if its folders are classes" if kinds[0] == FOLDER else ""
    raise UserError(
        f"{where} holds {held[kinds[0]]}; give {meant} instead of {dataset.kind}:…{classes}."
    )


def _of_files(dataset: DatasetName, folder: Path, remedy: str, images: ImagesConfig) -> Source:
    """The source of a kind that lies in `folder`."""
    if dataset.kind == PREPARED:
        from kd.data.sources.prepared import Prepared

        _check_unchanged(PREPARED, images)
        return Prepared(folder, remedy)
    from kd.data.sources.reading import FileSource

    name = str(dataset)
    if dataset.kind == PARQUET:
        from kd.data.sources.parquet import find_parquet

        return FileSource(name, images, partial(find_parquet, folder, images, remedy))
    from kd.data.sources.folders import find_folder, find_imagenet, find_tiny_imagenet

    if dataset.kind == FOLDER:
        return FileSource(name, images, partial(find_folder, folder, images, remedy))
    find = find_imagenet if dataset.kind == IMAGENET else find_tiny_imagenet
    usual = 224 if dataset.kind == IMAGENET else 64
    return FileSource(name, images, partial(find, folder, images, remedy), usual)


def _check_unchanged(kind: str, images: ImagesConfig) -> None:
    """Raise UserError for what is to be made of image files, where there are none."""
    for name, flag in FLAGS.items():
        if getattr(images, name) != getattr(ImagesConfig, name):
            away = f"leave it away (images.{name} in a file)"
            if kind == PREPARED:
                raise UserError(
                    f"Prepared images are as they were made, and {flag} is for image files; {away}"
                    ", or give it when they are prepared: python -m kd.data NAME --to DIR."
                )
            raise UserError(f"{kind} is no folder of images, and {flag} is for these; {away}.")
