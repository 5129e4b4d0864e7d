"""Data sets that are files: what a first look tells of them, and how they are read into memory."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import blake2b
from itertools import islice
from math import prod

import numpy as np
from numpy.typing import NDArray

from kd.data.config import AugmentConfig, ImagesConfig
from kd.data.images import Dataset, DatasetInfo, Images
from kd.data.sources.pictures import KINDS, BadImageError, Encoded, decode_file, shape_of
from kd.errors import UserError, brief
from kd.progress import counted

CHUNK = 256
"""Images that are decoded at a time, and may lie in memory beside those that are ready."""
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """The images of one set, as they lie in files.

    what: `training`, `val` or `test`. labels: (N,). encoded: all images in that order, anew with
    each call. first: some of them, whose beginnings are looked at. decode: one as (H, W, C).
    shape_of: that shape from its beginning alone. threads: whether decoding is worth some.
    names: of the files, where each image is one, in the same order.
    """

    what: str
    labels: NDArray[np.int64]
    encoded: Callable[[], Iterator[Encoded]]
    first: Callable[[], Iterable[Encoded]]
    decode: Callable[[Encoded, ImagesConfig], NDArray[np.uint8]] = decode_file
    shape_of: Callable[[Encoded, ImagesConfig], Shape] = shape_of
    threads: bool = True
    names: Callable[[], Iterable[str]] = tuple


@dataclass(frozen=True, eq=False)
class Parts:
    """The sets of a data set, of the same classes. notes: where they come from, if it is said."""

    class_names: tuple[str, ...]
    train: Part
    test: Part
    val: Part | None = None
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Part]:
        yield from (part for part in (self.train, self.val, self.test) if part is not None)


@dataclass(eq=False)
class FileSource:
    """A data set whose images are files; `find` lists them, and raises UserError if it cannot.

    usual: the height that its images are known to have, where it is published.
    resident: whether they are to fit the memory.
    """

    name: str
    images: ImagesConfig
    find: Callable[[], Parts]
    usual: int | None = None
    resident: bool = True

    @cached_property
    def parts(self) -> Parts:
        """What was found."""
        return self.find()

    @cached_property
    def listed(self) -> str:
        """A digest of the classes, the labels and the names of the files.

        Not of their sizes: a damaged one may be put right before the same command is typed again.
        """
        digest = blake2b(json.dumps(self.parts.class_names).encode(), digest_size=16)
        for part in self.parts:
            digest.update(f"{part.what} {len(part.labels)}".encode() + part.labels.tobytes())
            for file in part.names():
                digest.update(os.fsencode(file) + b"\0")
        return digest.hexdigest()

    def check(self) -> DatasetInfo:
        """Look at the names of all images, and at the first bytes of some."""
        alike, counts = Alike(), {}
        for part in self.parts:
            for one in part.first():
                alike.look(one, part, self.images)
        # Where the first ones are bad and may be, the shape of the others is not known yet.
        for further in self.parts.train.encoded() if alike.shape is None else ():
            alike.look(further, self.parts.train, self.images)
            if alike.shape is not None:
                break
        for part in self.parts:
            if alike.shape is not None and self.resident:
                check_memory(f"the {part.what} set", len(part.labels), alike.shape)
            counts[part.what] = self._counted(part.labels)
        if alike.shape is None:
            raise UserError(f"No image of {brief(self.name)} can be decoded; give others.")
        height, width, channels = alike.shape
        notes, val = self.parts.notes, counts.get("val")
        return DatasetInfo((height, width), channels, counts["training"], val, notes)

    def open(self) -> Dataset:
        """Decode the training set, and val where it is a set of its own."""
        alike, parts = Alike(), self.parts
        read = partial(_read, class_names=parts.class_names, images=self.images, alike=alike)
        train = read(parts.train)
        if parts.val is not None:
            train = replace(train, val=read(parts.val))
        check_test = partial(_verify, parts.test, self.images, alike)
        return Dataset(self.name, train, partial(read, parts.test), check_test)

    def verify(self) -> DatasetInfo:
        """Decode all images, and keep none; those that are left out are not counted."""
        alike, counts = Alike(), {}
        for part in self.parts:
            kept = _verify(part, self.images, alike)
            counts[part.what] = self._counted(part.labels[kept])
        return replace(self.check(), counts=counts["training"], val=counts.get("val"))

    def _counted(self, labels: NDArray[np.int64]) -> dict[str, int]:
        """How many there are of every class, by its name."""
        names = self.parts.class_names
        return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))

    def augment(self) -> AugmentConfig:
        """Crop after padding by an eighth, as CIFAR's 4 of 32 pixels, and flip."""
        size = self.images.size or self.usual or self.check().size[0]
        return AugmentConfig(crop_padding=size // 8)


@dataclass
class Alike:
    """Holds all images to the shape of the first."""

    shape: Shape | None = None
    where: str = field(default="")

    def look(self, one: Encoded, part: Part, images: ImagesConfig) -> None:
        """Hold one to it by its beginning; what cannot be read is found when it is decoded."""
        try:
            self.hold(one.where, part.shape_of(one, images))
        except BadImageError as error:
            if not images.skip_bad:
                raise _cannot(one, error, 0) from None

    def hold(self, where: str, shape: Shape) -> None:
        """Raise UserError for another shape than the first one's, which this may be."""
        if self.shape is None:
            self.shape, self.where = shape, where
        if shape == self.shape:
            return
        own, its = (KINDS["RGB" if each[2] == 3 else "L"] for each in (shape, self.shape))
        if own != its:
            raise UserError(
                f"{where} is {own} and {self.where} is {its}; make every image RGB by "
                "--convert-images (images.convert: true in a file)."
            )
        raise UserError(
            f"{where} has {shape[0]}×{shape[1]} pixels and {self.where} has "
            f"{self.shape[0]}×{self.shape[1]}; make them alike by --resize N (images.size: N in "
            "a file)."
        )


def _read(part: Part, class_names: tuple[str, ...], images: ImagesConfig, alike: Alike) -> Images:
    """All images of a set in memory, but for those that are left out."""
    pixels: NDArray[np.uint8] | None = None
    kept: list[int] = []
    for row, image in decoded(part, images, alike):
        if pixels is None:
            height, width, channels = image.shape
            check_memory(f"the {part.what} set", len(part.labels), image.shape)
            pixels = np.empty((len(part.labels), channels, height, width), np.uint8)
        pixels[len(kept)] = image.transpose(2, 0, 1)
        kept.append(row)
    if pixels is None:
        raise _none(part)
    return Images(pixels[: len(kept)], part.labels[kept], class_names)


def _verify(part: Part, images: ImagesConfig, alike: Alike) -> list[int]:
    """Decode all images of a set, and keep none but the places of those that are not left out."""
    kept = [row for row, _ in decoded(part, images, alike)]
    if not kept:
        raise _none(part)
    return kept


def _none(part: Part) -> UserError:
    return UserError(f"No {part.what} image can be decoded; give others.")


def decoded(
    part: Part, images: ImagesConfig, alike: Alike, start: int = 0, left: int = 0
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The place of each image from `start` on and itself, (H, W, C), but for bad ones.

    UserError for more of these than `skip_bad`, of which so many were `left` out before.
    """

    def decode(one: Encoded) -> NDArray[np.uint8] | BadImageError:
        try:
            return part.decode(one, images)
        except BadImageError as error:
            return error

    bad: list[tuple[Encoded, BadImageError]] = []
    encoded, total, row = islice(part.encoded(), start, None), len(part.labels), start
    with counted(f"{part.what} images read", total) as advance, ThreadPoolExecutor() as threads:
        each = threads.map if part.threads else map
        # Pillow decodes without the interpreter's lock.
        while chunk := list(islice(encoded, CHUNK)):
            for one, image in zip(chunk, each(decode, chunk), strict=True):
                if isinstance(image, BadImageError):
                    bad.append((one, image))
                    if left + len(bad) > images.skip_bad:
                        raise _cannot(*bad[0], images.skip_bad)
                else:
                    alike.hold(one.where, image.shape)
                    yield row, image
                row += 1
            advance(row)
    if bad:
        one, error = bad[0]
        print(
            f"Left out, as it cannot be decoded: {len(bad)} of {total} {part.what} images; the "
            f"first is {one.where} ({error}).",
            flush=True,
        )


def _cannot(one: Encoded, error: BadImageError, allowed: int) -> UserError:
    """The error for the first of more bad images than are allowed."""
    more = f", and more than {allowed} such images are there" if allowed else ""
    return UserError(
        f"{one.where} cannot be decoded ({error}){more}; put a whole image there, or leave out up "
        "to N of each set by --skip-bad-images N (images.skip_bad: N in a file)."
    )


def check_memory(what: str, count: int, shape: Shape) -> None:
    """Raise UserError where so many images of `what` are more than the memory holds."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if count * prod(shape) > memory:
        raise UserError(
            f"The {count} images of {what}, of shape {brief(list(shape))}, are more than the "
            "memory holds; make them smaller by --resize N (images.size: N in a file), or prepare "
            "them: python -m kd.data NAME --to DIR."
        )
