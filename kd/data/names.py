"""The names of data sets: what a configuration says, and what it means."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

DOWNLOADED = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "fashion-mnist": "FashionMNIST"}
"""Names here to names in `torchvision.datasets`."""
PARQUET = "parquet"


@dataclass(frozen=True)
class DatasetName:
    """The name of a data set: one word, or `parquet:FOLDER` for the images of a folder.

    kind: `digits`, `cifar100`, …, or `parquet`; an unknown name is a kind as it stands.
    folder: as it was written, but for `~`; None where the name is one word.
    """

    kind: str
    folder: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a configuration's `dataset` apart."""
        kind, _, folder = text.partition(":")
        if kind == PARQUET and folder and "\0" not in folder:
            # Path.expanduser raises for a `~` before a name that no user has.
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
            return replace(self, folder=(beside / self.folder).absolute())
        return replace(self, folder=self.folder.absolute())

    def __str__(self) -> str:
        """The name as a configuration has it."""
        return self.kind if self.folder is None else f"{self.kind}:{self.folder}"

    @property
    def published(self) -> str:
        """The name that papers publish values for: a folder counts by its last part."""
        return self.kind if self.folder is None else Path(os.path.normpath(self.folder)).name

    @property
    def portable(self) -> str:
        """The name without this machine's path: `parquet:tiny-imagenet`."""
        return self.kind if self.folder is None else f"{self.kind}:{self.published}"


def dataset_names() -> tuple[str, ...]:
    """Every name that `open_dataset` knows; FOLDER stands for a folder."""
    return tuple(sorted(("digits", *DOWNLOADED, f"{PARQUET}:FOLDER")))
