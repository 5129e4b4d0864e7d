"""A data set that a program makes: noise with stripes, whose direction is the class."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kd.config import AugmentConfig
from kd.data import Dataset, DatasetInfo, Images

CLASSES = ("level", "upright")
SIDE, TRAIN, TEST = 12, 400, 100


class Stripes:
    """Grey images of 12×12 pixels; `root`, where downloads lie, is not needed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check(self) -> DatasetInfo:
        """Nothing can be wrong."""
        return DatasetInfo((SIDE, SIDE), 1, dict.fromkeys(CLASSES, TRAIN // 2))

    def verify(self) -> None:
        """Nothing can be wrong."""

    def open(self) -> Dataset:
        """Draw the images, always the same ones."""
        return Dataset("stripes", _drawn(TRAIN, seed=0), lambda: _drawn(TEST, seed=1))

    def augment(self) -> AugmentConfig:
        """A shift; a mirrored stripe is the same."""
        return AugmentConfig(crop_padding=1)


def _drawn(count: int, seed: int) -> Images:
    random = np.random.default_rng(seed)
    labels: NDArray[np.int64] = np.arange(count) % len(CLASSES)
    stripes = np.where(np.arange(SIDE) % 4 < 2, 60, 0)
    level = np.broadcast_to(stripes[:, None], (SIDE, SIDE))
    both = np.stack([level, level.T])
    pixels = both[labels] + random.integers(0, 180, (count, SIDE, SIDE))
    return Images(pixels[:, None].astype(np.uint8), labels, CLASSES)
