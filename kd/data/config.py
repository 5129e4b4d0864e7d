"""What may be chosen about the images: how they are read and augmented, and how val is cut."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Self

from kd.errors import UserError
from kd.files import whole
from kd.section import SEEDS, Section, parse

PIXELS = 1024
"""The largest side of a square that is cut out or resized to, and the widest border."""


@dataclass(frozen=True, kw_only=True)
class ImagesConfig(Section):
    """What is made of image files when they are read, and where a val set of their own is.

    `size` resizes every image so that its shorter side has so many pixels, and cuts the square in
    the middle; None leaves them as they are. `convert` makes every image RGB. Of each set up to
    `skip_bad` images that cannot be decoded are left out. `val` is a folder (or a Parquet file)
    whose images are val, so that none is cut from those to train on.
    """

    _prefix = "images."

    size: int | None = None
    convert: bool = False
    skip_bad: int = 0
    val: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None:
            self.check("size", 1, PIXELS)
        self.check("skip_bad", 0, inf)

    @classmethod
    def read(cls, given: object, where: str) -> Self:
        """The section of a configuration that is read from `where`; usual where it is none."""
        return parse(cls, given if isinstance(given, Mapping) else {}, where, within="images.")

    def placed(self, beside: Path | None = None) -> Self:
        """The same with the whole path of its val set, as of `DatasetName.placed`."""
        if self.val is None:
            return self
        val = Path(os.path.expanduser(self.val))
        there = beside is not None and os.path.exists(beside / val)
        return replace(self, val=str(whole(beside / val if beside and there else val)))

    @property
    def told(self) -> str:
        """What a person reads of it; empty where nothing is asked for."""
        said = {
            f"resized to {self.size}×{self.size}": self.size is not None,
            "made RGB": self.convert,
            f"up to {self.skip_bad} bad ones of each set left out": self.skip_bad,
            f"val from {self.val}": self.val is not None,
        }
        return ", ".join(words for words, holds in said.items() if holds)

    @property
    def portable(self) -> Self:
        """Without this machine's path: of the val set its name alone."""
        name = None if self.val is None else Path(os.path.normpath(self.val)).name
        return replace(self, val=name)


BY_IMAGES = ("crop_padding", "flip")
"""Augmentation whose usual value depends on the images."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Section):
    """What happens to a training image, in this order; 0 leaves it out.

    Attributes:
        crop_padding: it is cut out at random after padding with black by so many pixels.
        crop_size: or a random part of it, of between `crop_scale` and all of its area and a ratio
            of sides of 3:4 to 4:3, is resized to so many pixels a side (Szegedy et al. 2015). Of
            val and test images, then, the middle is taken.
        crop_scale: the least share of the area.
        flip: it is mirrored with this probability.
        trivial_augment: one of fourteen operations, drawn with its strength, is done to it
            (TrivialAugment in its wide form, Müller and Hutter 2021).
        rotation: it is turned by up to so many degrees, to either side.
        brightness: it is multiplied by a number within 1 ± this.
        contrast: its distance from its mean grey is, after that.
        saturation: that of each pixel from its own grey is, after that.
        cutout: a square of so many pixels a side is set to the mean (DeVries and Taylor 2017).
        mixup: it and its label are mixed with another's by a share of Beta(α, α) of this α
            (Zhang et al. 2018).
        cutmix: a rectangle of it, of an area by the same, is put in the place of another's, and
            labels by its area (Yun et al. 2019). With both, each image gets one or the other.
    """

    _prefix = "augment."

    crop_padding: int = 4
    flip: float = 0.5
    cutout: int = 0
    crop_size: int = 0
    crop_scale: float = 0.08
    trivial_augment: bool = False
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        self.check("flip", 0, 1)
        for name in ("crop_padding", "cutout", "crop_size"):
            self.check(name, 0, PIXELS)
        self.check("crop_scale", 0, 1, open_low=True)
        self.check("rotation", 0, 180)
        for name in ("brightness", "contrast", "saturation"):
            self.check(name, 0, 1)
        for name in ("mixup", "cutmix"):
            self.check(name, 0, 100)

    @property
    def mixes(self) -> bool:
        """Whether labels are mixed."""
        return bool(self.mixup or self.cutmix)

    @property
    def colours(self) -> bool:
        """Whether colours change."""
        return bool(self.brightness or self.contrast or self.saturation)

    def seen(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size (H, W) of what a network sees of images of `size`."""
        return (self.crop_size, self.crop_size) if self.crop_size else size

    def check_fits(self, height: int, width: int, channels: int) -> None:
        """Raise UserError where images of that form cannot be changed so.

        A crop may be nothing but border, or larger than the image; grey has no saturation.
        """
        have = f"but the images have {height}×{width} pixels; give at most {min(height, width)}."
        for name in ("crop_padding", "crop_size"):
            if (pixels := getattr(self, name)) > min(height, width):
                raise UserError(f"augment.{name} is {pixels}, {have}")
        if self.crop_size and self.crop_padding:
            raise UserError(
                f"augment.crop_size is {self.crop_size} and augment.crop_padding "
                f"{self.crop_padding}, and an image is cropped once; set augment.crop_padding=0."
            )
        if self.saturation and channels != 3:
            raise UserError(
                f"augment.saturation is {self.saturation:g}, but the images have {channels} "
                "channel(s); set augment.saturation=0."
            )
        if self.trivial_augment and channels not in (1, 3):
            raise UserError(
                f"augment.trivial_augment is for grey and RGB images, and these have {channels} "
                "channels; set augment.trivial_augment=false."
            )

    def check_method(self, method: str, mixed: bool) -> None:
        """Raise UserError where labels are mixed, and the method takes no `mixed` ones."""
        if self.mixes and not mixed:
            name = "mixup" if self.mixup else "cutmix"
            raise UserError(
                f"augment.{name} mixes labels, and {method} needs one label an image; set "
                f"augment.{name}=0, or choose a method that takes them, such as ce or kd."
            )


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Section):
    """How val is cut from the training set: stratified, and the same for the same seed.

    `val_per_class` takes so many images of each class instead of `val_fraction` of all; a class
    of fewer than twice as many gives half of them, and one of a single image none. `train_size`
    keeps that many of the remaining images (few-shot), `fraction` that part of them and at least
    one of each class; None keeps all. `train_on_val` trains on val too, for a last network whose
    val accuracy then says nothing.
    """

    _prefix = "split."

    val_fraction: float = 0.1
    train_size: int | None = None
    seed: int = 0
    train_on_val: bool = False
    fraction: float | None = None
    val_per_class: int | None = None

    def __post_init__(self) -> None:
        self.check("val_fraction", 0, 1, open_low=True, open_high=True)
        if self.train_size is not None:
            self.check("train_size", 1, inf)
        if self.fraction is not None:
            self.check("fraction", 0, 1, open_low=True)
        if self.val_per_class is not None:
            self.check("val_per_class", 1, inf)
        if self.train_size is not None and self.fraction is not None:
            raise UserError(
                "split.train_size and split.fraction both say how many images there are to train "
                "on; give one of them."
            )
        self.check("seed", 0, SEEDS - 1)


LATER: Mapping[str, tuple[type[Section], tuple[str, ...]]] = {
    "split": (SplitConfig, ("fraction", "val_per_class")),
    "augment": (
        AugmentConfig,
        (
            *("crop_size", "crop_scale", "rotation", "brightness", "contrast", "saturation"),
            *("mixup", "cutmix", "trivial_augment"),
        ),
    ),
}
"""Keys of sections that configurations of before lack."""


def sections_of_before(plain: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The plain forms of these sections without `LATER` keys that are as usual.

    So a digest is what it was before there were such keys.
    """
    return {
        section: {
            name: value
            for name, value in plain[section].items()
            if name not in later or value != getattr(usual, name)
        }
        for section, (usual, later) in LATER.items()
    }


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
