"""Image files, decoded by Pillow and brought into the form that is asked for."""

import io
import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from kd.data.config import ImagesConfig
from kd.errors import UserError, brief

KINDS = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with transparency",
    "P": "an image with a palette",
    "RGB": "RGB",
    "RGBA": "RGB with transparency",
    "CMYK": "CMYK",
    "I": "grey of 32 bits",
    "I;16": "grey of 16 bits",
}
"""What Pillow's modes are called."""
TURNED = (5, 6, 7, 8)
"""Values of EXIF's orientation that exchange height and width."""


class Encoded(NamedTuple):
    """One image as it is kept: in a file of its own (`row` None), or in a row of one."""

    file: Path
    row: int | None = None
    data: bytes | None = None

    @property
    def where(self) -> str:
        """What a sentence calls it."""
        return brief(self.file) if self.row is None else f"{brief(self.file)}, row {self.row}"


class BadImageError(Exception):
    """It cannot be decoded; the message says why."""


def decode_file(one: Encoded, images: ImagesConfig) -> NDArray[np.uint8]:
    """One image (H, W, C), upright as its EXIF says.

    Raises:
        BadImageError: it cannot be decoded.
        UserError: it is of a kind that `images` does not allow.
    """
    return brought(loaded(one), one.where, images)


def brought(picture: Image.Image, where: str, images: ImagesConfig) -> NDArray[np.uint8]:
    """`picture` as (H, W, C) in the form of `images`; UserError where it cannot have that."""
    _check_mode(picture.mode, where, images)
    if images.convert:
        picture = as_rgb(picture)
    if images.size is not None:
        picture = squared(picture, images.size)
    pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def shape_of(one: Encoded, images: ImagesConfig) -> tuple[int, ...]:
    """The shape that `decode_file` will give, from the first bytes alone; it raises the same."""
    try:
        with Image.open(_source(one)) as picture:
            # Without it Pillow would decode a whole PNG to look for it at the end; and of a TIFF
            # it says the upright size.
            seek = "exif" in picture.info and picture.format != "TIFF"
            turned = seek and picture.getexif().get(ExifTags.Base.Orientation) in TURNED
            (width, height), mode = picture.size, picture.mode
    except Exception as error:
        raise _bad(error) from None
    _check_mode(mode, one.where, images)
    channels = 3 if images.convert or mode == "RGB" else 1
    if images.size is not None:
        return images.size, images.size, channels
    return (width, height, channels) if turned else (height, width, channels)


def as_rgb(picture: Image.Image) -> Image.Image:
    """RGB of 8 bits, without transparency; of 16 bits the higher 8."""
    if picture.mode.startswith("I"):
        deep = np.asarray(picture).clip(0, 0xFFFF)
        picture = Image.fromarray((deep >> 8).astype(np.uint8))
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def squared(picture: Image.Image, size: int) -> Image.Image:
    """The square in the middle as `size`×`size` pixels, bilinear with antialias."""
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return picture.resize((size, size), Image.Resampling.BILINEAR, box=box)


def loaded(one: Encoded) -> Image.Image:
    """One image, whole and upright; BadImageError where it cannot be decoded."""
    try:
        with Image.open(_source(one)) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture)
    except Exception as error:
        # Of damaged files Pillow's decoders raise whatever comes.
        raise _bad(error) from None


def _source(one: Encoded) -> Path | io.BytesIO:
    if one.row is None:
        # Whoever opened a pipe would wait for what comes of it.
        if not stat.S_ISREG(os.stat(one.file).st_mode):
            raise BadImageError("it is no file")
        return one.file
    if one.data is None:
        raise BadImageError("it has no bytes")
    return io.BytesIO(one.data)


def _bad(error: Exception) -> BadImageError:
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, BadImageError):
        return error
    if isinstance(error, UnidentifiedImageError):
        return BadImageError("it is no image that Pillow knows")
    if isinstance(error, Image.DecompressionBombError):
        return BadImageError("it has more pixels than Pillow decodes")
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return BadImageError(brief(text.splitlines()[0].rstrip(".")))


def _check_mode(mode: str, where: str, images: ImagesConfig) -> None:
    if mode == "F":
        raise UserError(
            f"{where} has floating-point pixels; write it as PNG or JPEG, or leave it out."
        )
    if mode not in ("L", "RGB") and not images.convert:
        kind = KINDS.get(mode[:4], mode)
        raise UserError(
            f"{where} is {kind}; make every image RGB by --convert-images "
            "(images.convert: true in a file)."
        )
