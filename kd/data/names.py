"""The names of data sets: what a configuration says, and what it means."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from kd.data.listing import subfolders
from kd.files import whole
from kd.plugins import DATA, added

DOWNLOADED = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "fashion-mnist": "FashionMNIST"}
"""Names here to names in `torchvision.datasets`."""
PARQUET, FOLDER, PREPARED = "parquet", "folder", "prepared"
ABOUT = "about.json"
"""The file that says what a prepared folder holds."""
IMAGENET, TINY_IMAGENET = "imagenet", "tiny-imagenet"
UNPACKED = {IMAGENET: "imagenet", TINY_IMAGENET: "tiny-imagenet-200"}
"""Published sets that are not downloaded, and the folder among the downloads that they lie in."""


def data_root(given: str | Path | None = None) -> Path:
    """Where data sets are kept: as it is given, else $KD_DATA, else ~/.cache/kd."""
    # Path.expanduser raises for a `~` before a name that no user has.
    return Path(os.path.expanduser(given or os.environ.get("KD_DATA", "~/.cache/kd")))


@dataclass(frozen=True)
class DatasetName:
    """The name of a data set: one word, or a kind and a folder: `parquet:FOLDER`, `folder:DIR`.

    kind: `digits`, `cifar100`, `imagenet`, …, `parquet` or `folder`; an unknown name is a kind as
    it stands.
    folder: as it was written, but for `~`; None where the name is one word.
    """

    kind: str
    folder: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a configuration's `dataset` apart."""
        kind, _, folder = text.partition(":")
        if kind in (PARQUET, FOLDER, PREPARED, *UNPACKED) and folder and "\0" not in folder:
            return cls(kind, Path(os.path.expanduser(folder)))
        return cls(text)

    def placed(self, beside: Path | None = None) -> Self:
        """The same images by a name that holds in every folder that a command is typed in.

        A relative DIR means the one in the folder `beside`, if it is there, else the one in the
        current folder.
        """
        if self.folder is None:
            return self
        if beside is not None and os.path.isdir(beside / self.folder):
            return replace(self, folder=whole(beside / self.folder))
        return replace(self, folder=whole(self.folder))

    def lies_in(self, root: str | Path | None = None) -> Path | None:
        """The folder of its images, where they are files that a person put there; else None."""
        if self.folder is None and self.kind in UNPACKED:
            return data_root(root) / UNPACKED[self.kind]
        return self.folder

    def __str__(self) -> str:
        """The name as a configuration has it."""
        return self.kind if self.folder is None else f"{self.kind}:{self.folder}"

    @property
    def published(self) -> str:
        """The name that papers publish values for: a folder counts by its last part.

        But one that is said to hold a published set.
        """
        if self.folder is None or self.kind in UNPACKED:
            return self.kind
        return Path(os.path.normpath(self.folder)).name

    @property
    def portable(self) -> str:
        """The name without this machine's path: `parquet:tiny-imagenet`."""
        if self.folder is None or self.kind in UNPACKED:
            return self.kind
        return f"{self.kind}:{self.published}"


def kinds_of(folder: Path) -> list[str]:
    """Which kinds of data set lie in a folder as it seems, the likeliest first."""
    if not os.path.isdir(folder):
        return []
    kinds = [PREPARED] if (folder / ABOUT).is_file() else []
    tables = [place for place in (folder, folder / "data") if any(place.glob("*.parquet"))]
    kinds += [PARQUET] if tables else []
    within = {*subfolders(folder)} - ({"data"} if tables else set())
    return [*kinds, FOLDER] if within else kinds


def dataset_names() -> tuple[str, ...]:
    """Every name that `open_dataset` knows; FOLDER and DIR stand for a folder."""
    own = (f"{PARQUET}:FOLDER", f"{FOLDER}:DIR", f"{PREPARED}:DIR")
    return tuple(sorted({"digits", *DOWNLOADED, *UNPACKED, *own, *added(DATA)}))
