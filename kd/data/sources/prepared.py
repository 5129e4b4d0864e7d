"""A folder that `python -m kd.data NAME --to DIR` wrote: pixels as they are trained on.

Every set has a file of bare pixels, image by image, and one of labels; `about.json`, which is
written last, says what they are. What memory holds is read into it, anything else stays there.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kd.data.config import AugmentConfig
from kd.data.images import Dataset, DatasetInfo, Images
from kd.data.names import ABOUT, PREPARED, DatasetName
from kd.data.stored import Stored
from kd.errors import UserError, brief
from kd.room import free_memory

TRAINING, VAL, TEST = "training", "val", "test"
WRITE = "python -m kd.data NAME --to DIR"
AGAIN = "prepare the images again, into another folder"
RESIDENT = 0.5
"""The share of the memory that is free up to which images are read into it."""


@dataclass(frozen=True)
class Contents:
    """What `about.json` says: shape (C, H, W), and of each set how many images and their digest.

    listed: which images the sets were made of, by a digest; empty where that is not kept.
    """

    source: str
    images: Mapping[str, Any]
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    notes: tuple[str, ...]
    counts: Mapping[str, int]
    digests: Mapping[str, str]
    listed: str = ""

    @classmethod
    def read(cls, folder: Path, remedy: str) -> "Contents":
        """Read it; UserError where the folder is not, or not whole."""
        where = brief(folder.absolute())
        if not os.path.isdir(folder):
            raise UserError(f"{where} is not a folder; {remedy}, or write it: {WRITE}.")
        try:
            plain = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            channels, height, width = map(int, plain["shape"])
            found = cls(
                source=str(plain["source"]),
                images=dict(plain["images"]),
                class_names=tuple(map(str, plain["class_names"])),
                shape=(channels, height, width),
                notes=tuple(map(str, plain["notes"])),
                counts={str(name): int(count) for name, count in plain["counts"].items()},
                digests={str(name): str(digest) for name, digest in plain["digests"].items()},
                listed=str(plain.get("listed", "")),
            )
        except FileNotFoundError:
            raise UserError(
                f"{where} is not prepared, or not whole yet; {remedy}, or go on with: {WRITE}."
            ) from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            raise UserError(f"{brief(folder / ABOUT)} is damaged; {AGAIN}.") from None
        found._check_sizes(folder)
        return found

    def _check_sizes(self, folder: Path) -> None:
        for name, count in self.counts.items():
            for path, each in files_of(folder, name, self.shape):
                try:
                    size = os.stat(path).st_size
                except OSError:
                    size = -1
                if size != count * each:
                    raise UserError(f"{brief(path)} is not whole; {AGAIN}.")


def files_of(folder: Path, name: str, shape: tuple[int, ...]) -> list[tuple[Path, int]]:
    """The files of a set of images (C, H, W), and how many bytes of each are an image's."""
    return [(pixels_file(folder, name), prod(shape)), (labels_file(folder, name), 8)]


def pixels_file(folder: Path, name: str) -> Path:
    """The pixels of a set."""
    return folder / f"{name}.images"


def labels_file(folder: Path, name: str) -> Path:
    """Its labels, int64 each."""
    return folder / f"{name}.labels"


@dataclass(frozen=True)
class Mapped:
    """A reader of bare pixels in a file, of which the system keeps in memory what it can."""

    path: Path
    count: int
    shape: tuple[int, int, int]
    digest: str

    @property
    def identity(self) -> str:
        """The same."""
        return self.digest

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images of these numbers, (B, C, H, W)."""
        try:
            file = np.memmap(self.path, np.uint8, "r", shape=(self.count, *self.shape))
        except (OSError, ValueError):
            raise UserError(f"{brief(self.path)} is no longer there; put it back.") from None
        return np.asarray(file[numbers])


@dataclass(eq=False)
class Prepared:
    """The images of a prepared `folder`; `remedy` says what to do if it is not there."""

    folder: Path
    remedy: str

    @cached_property
    def contents(self) -> Contents:
        """What is there."""
        return Contents.read(self.folder, self.remedy)

    def check(self) -> DatasetInfo:
        """Read what is said of the images, and the labels."""
        contents = self.contents
        names, (channels, height, width) = contents.class_names, contents.shape

        def counted(name: str) -> dict[str, int]:
            found = np.bincount(self._labels(name), minlength=len(names)).tolist()
            return dict(zip(names, found, strict=True))

        val = counted(VAL) if VAL in contents.counts else None
        return DatasetInfo((height, width), channels, counted(TRAINING), val, contents.notes)

    def verify(self) -> None:
        """The sizes of files were compared; every image was decoded when they were written."""
        self.check()

    def open(self) -> Dataset:
        """The training set, in memory as far as it fits."""
        train = self._set(TRAINING)
        if VAL in self.contents.counts:
            train = Images(
                train.images, train.labels, train.class_names, train.whole, self._set(VAL)
            )
        name = str(DatasetName(PREPARED, self.folder))
        return Dataset(name, train, lambda: self._set(TEST))

    def augment(self) -> AugmentConfig:
        """Crop after padding by an eighth, and flip, as for the files they were made of."""
        return AugmentConfig(crop_padding=self.contents.shape[1] // 8)

    def _set(self, name: str) -> Images:
        contents, path = self.contents, pixels_file(self.folder, name)
        count, identity = contents.counts[name], contents.digests[name]
        labels, size = self._labels(name), contents.counts[name] * prod(contents.shape)
        pixels: NDArray[np.uint8] | Stored
        if size <= RESIDENT * free_memory():
            pixels = np.fromfile(path, np.uint8).reshape(count, *contents.shape)
        else:
            reader = Mapped(path.absolute(), count, contents.shape, identity)
            pixels = Stored(reader, np.arange(count))
        return Images(pixels, labels, contents.class_names)

    def _labels(self, name: str) -> NDArray[np.int64]:
        labels = np.fromfile(labels_file(self.folder, name), np.int64)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.contents.class_names):
            raise UserError(f"{brief(labels_file(self.folder, name))} is damaged; {AGAIN}.")
        return labels
