"""What may be chosen about the images: their augmentation, and how val is cut from them."""

from dataclasses import dataclass
from math import inf

from kd.errors import UserError
from kd.section import SEEDS, Section

PIXELS = 1024
"""The largest side of a square that is cut out, and the widest border."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Section):
    """What happens to a training image: random crop after padding, horizontal flip, cutout.

    `crop_padding` and `cutout` are in pixels, `flip` is a probability.
    """

    _prefix = "augment."

    crop_padding: int = 4
    flip: float = 0.5
    cutout: int = 0

    def __post_init__(self) -> None:
        self.check("flip", 0, 1)
        self.check("crop_padding", 0, PIXELS)
        self.check("cutout", 0, PIXELS)

    def check_fits(self, height: int, width: int) -> None:
        """Raise UserError where a crop of an image of that size may be nothing but border."""
        if self.crop_padding > min(height, width):
            raise UserError(
                f"augment.crop_padding is {self.crop_padding}, but the images have "
                f"{height}×{width} pixels; give at most {min(height, width)}."
            )


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Section):
    """How val is cut from the training set: stratified, and the same for the same seed.

    `train_size` keeps that many of the remaining images (few-shot); None keeps all. `train_on_val`
    trains on val too, for a last network whose val accuracy then says nothing.
    """

    _prefix = "split."

    val_fraction: float = 0.1
    train_size: int | None = None
    seed: int = 0
    train_on_val: bool = False

    def __post_init__(self) -> None:
        self.check("val_fraction", 0, 1, open_low=True, open_high=True)
        if self.train_size is not None:
            self.check("train_size", 1, inf)
        self.check("seed", 0, SEEDS - 1)


def check_batches(count: int, batch_size: int, workers: int) -> None:
    """Raise UserError for batches of `count` images that leave a worker fewer than two of them.

    BatchNorm needs two.
    """
    if batch_size < 2 * workers:
        raise UserError(
            f"batch_size is {batch_size}; it must be at least {2 * workers}, "
            "two images for every worker."
        )
    if count < 2 * workers:
        raise UserError(
            f"The training images are too few, {count}; give at least {2 * workers}, two for every "
            "worker."
        )
