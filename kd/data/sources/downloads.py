"""The data sets that torchvision downloads, kept under one folder."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kd.data.config import AugmentConfig
from kd.data.images import Dataset, DatasetInfo, Images
from kd.data.names import DOWNLOADED
from kd.errors import UserError, brief

TIMEOUT = 10.0  # seconds without an answer
INFO = {
    "cifar10": DatasetInfo((32, 32), 3, dict.fromkeys(map(str, range(10)), 5000)),
    "cifar100": DatasetInfo((32, 32), 3, dict.fromkeys(map(str, range(100)), 500)),
    "fashion-mnist": DatasetInfo((28, 28), 1, dict.fromkeys(map(str, range(10)), 6000)),
}


@dataclass(frozen=True)
class Download:
    """CIFAR-10, CIFAR-100 or Fashion-MNIST, as torchvision lays it out under `root`."""

    name: str
    root: Path
    remedy: str

    def check(self) -> DatasetInfo:
        """What is published; UserError if `root` is no folder."""
        if os.path.lexists(self.root) and not os.path.isdir(self.root):
            raise UserError(
                f"{brief(self.root)} is not a folder; set KD_DATA to one for downloads."
            )
        return INFO[self.name]

    def verify(self) -> None:
        """Whether it can be downloaded is known once it is."""

    def open(self) -> Dataset:
        """Load the training set, downloading it first where it is not there."""
        return Dataset(self.name, self._load(train=True), lambda: self._load(train=False))

    def augment(self) -> AugmentConfig:
        """Crop and flip, as all the papers do."""
        return AugmentConfig(crop_padding=2 if self.name == "fashion-mnist" else 4)

    def _load(self, train: bool) -> Images:
        from torchvision import datasets

        try:
            with connection_timeout(TIMEOUT):
                found = getattr(datasets, DOWNLOADED[self.name])(self.root, train, download=True)
        except (OSError, RuntimeError, ValueError, AssertionError) as error:
            reason = getattr(getattr(error, "reason", error), "strerror", None)
            raise UserError(
                f"{self.name} is not whole in {brief(self.root)} and cannot be downloaded"
                f"{f' ({reason})' if reason else ''}; {self.remedy}."
            ) from None
        pixels = np.asarray(found.data)
        channels_last = pixels if pixels.ndim == 4 else pixels[..., np.newaxis]
        return Images(
            np.ascontiguousarray(channels_last.transpose(0, 3, 1, 2)),
            np.asarray(found.targets, dtype=np.int64),
            tuple(found.classes),
        )


@contextmanager
def connection_timeout(seconds: float) -> Iterator[None]:
    """Give up on a silent server; torchvision's downloads set no limit of their own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
