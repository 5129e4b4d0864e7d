"""The data sets that torchvision downloads, kept under one folder."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kd.data.config import AugmentConfig
from kd.data.images import Dataset, Images
from kd.data.names import DOWNLOADED
from kd.errors import UserError

TIMEOUT = 10.0  # seconds without an answer


@dataclass(frozen=True)
class Download:
    """CIFAR-10, CIFAR-100 or Fashion-MNIST, as torchvision lays it out under `root`."""

    name: str
    root: Path

    def check(self) -> None:
        """UserError if `root` is no folder."""
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"{self.root} is not a folder; set KD_DATA to one for downloads.")

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
                f"{self.name} is not whole in {self.root} and cannot be downloaded"
                f"{f' ({reason})' if reason else ''}; "
                "type --dataset digits, or --dataset parquet:DIR for your own images."
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
