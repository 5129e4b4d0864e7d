"""A folder of anyone's images: FOLDER/train.parquet and FOLDER/test.parquet.

Columns `image` (binary) and `label` (integer). The schema's metadata describes them, in JSON:
`shape`, [H, W] or [H, W, C]; `class_names`; `encoding`, `raw-uint8` for the bare pixels
in that order, else anything that Pillow reads without loss (`webp-lossless`, `png`).
"""

import io
import json
import math
import operator
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kd.data.config import AugmentConfig
from kd.data.images import Dataset, DatasetInfo, Images
from kd.data.names import PARQUET, DatasetName
from kd.errors import UserError, brief

COLUMNS = {
    "image": (pa.types.is_binary, pa.types.is_large_binary),
    "label": (pa.types.is_integer,),
}
ENCODINGS = ("raw-uint8", "webp-lossless", "png")


@dataclass(frozen=True)
class Layout:
    """What the metadata says: shape (H, W, C), the classes, how an image's bytes are read."""

    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    encoding: str


@dataclass(frozen=True)
class ParquetFolder:
    """The images of `folder`; `remedy` says what to do if it is not there."""

    folder: Path
    remedy: str = "give parquet:FOLDER one"

    def check(self) -> DatasetInfo:
        """Read the two footers and the training labels.

        UserError if a file is missing, damaged or of another form, or a label is out of range.
        """
        train, test = self._layout("train"), self._layout("test")
        if (train.shape, train.class_names) != (test.shape, test.class_names):
            raise UserError(
                f"{brief(self._path('test'))} has other shapes or classes than train.parquet "
                "beside it; write both from the same data."
            )
        path = self._path("train")
        with opened(path) as file:
            labels = read_labels(path, file, train)
        counts = np.bincount(labels, minlength=len(train.class_names)).tolist()
        height, width, channels = train.shape
        return DatasetInfo(
            (height, width), channels, dict(zip(train.class_names, counts, strict=True))
        )

    def open(self) -> Dataset:
        """Decode the training set."""
        name = str(DatasetName(PARQUET, self.folder))
        return Dataset(name, read_images(self._path("train")), self._read_test)

    def augment(self) -> AugmentConfig:
        """Crop after padding by an eighth, as CIFAR's 4 of 32 pixels, and flip."""
        return AugmentConfig(crop_padding=self._layout("train").shape[0] // 8)

    def _layout(self, split: str) -> Layout:
        if not os.path.isdir(self.folder):
            where = brief(self.folder.absolute())
            raise UserError(f"{where} is not a folder; {self.remedy}.")
        path = self._path(split)
        with opened(path) as file:
            return read_layout(path, file)

    def _read_test(self) -> Images:
        return read_images(self._path("test"))

    def _path(self, split: str) -> Path:
        return self.folder / f"{split}.parquet"


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The Parquet file at `path`; UserError if it is none, or was written while it was read."""
    where = brief(path)
    try:
        # Opening a pipe would wait for a writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UserError(f"{where} is not a file; put a Parquet file there.")
        with path.open("rb") as source:
            before = os.fstat(source.fileno())
            try:
                yield pq.ParquetFile(source)
            finally:
                after = os.fstat(source.fileno())
                if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                    raise UserError(
                        f"{where} was written while it was read; try again when it is whole."
                    )
    except FileNotFoundError:
        raise UserError(f"{where} is not there; the folder needs this file.") from None
    except (pa.ArrowException, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{where} cannot be read as Parquet ({brief(reason)}); write or copy it again."
        ) from None


def read_layout(path: Path, file: pq.ParquetFile) -> Layout:
    """The layout of the file, from its footer alone; UserError if it is not of this form."""
    where, schema = brief(path), file.schema_arrow
    if not file.metadata.num_rows:
        raise UserError(f"{where} has no rows; write images into it.")
    for column, kinds in COLUMNS.items():
        found = [field for field in schema if field.name == column]
        if len(found) > 1:
            raise UserError(f"{where} has {len(found)} columns {column!r}; write it with one.")
        if not found or not any(is_a(found[0].type) for is_a in kinds):
            kind = "binary" if column == "image" else "integer"
            raise UserError(f"{where} has no {kind} column {column!r}; write it with one.")
    try:
        metadata = {key.decode(): value.decode() for key, value in schema.metadata.items()}
        shape = tuple(map(operator.index, _list(metadata["shape"])))
        names = tuple(map(str, _list(metadata["class_names"])))
        encoding = metadata["encoding"]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise UserError(
            f"{where} does not say what its images are; its schema's metadata must hold shape and "
            "class_names, each a JSON list, and encoding."
        ) from None
    if len(shape) not in (2, 3) or min(shape) < 1 or not names or encoding not in ENCODINGS:
        raise UserError(
            f"{where} has shape {brief(list(shape))}, {len(names)} classes and encoding "
            f"{brief(repr(encoding))}; "
            f"it needs [H, W] or [H, W, C], a class, and one of {', '.join(ENCODINGS)}."
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(
            f"{where} gives the name {brief(repr(twice[0]))} to two classes; give every class its "
            "own."
        )
    layout = Layout(shape if len(shape) == 3 else (*shape, 1), names, encoding)
    _check_memory(where, file.metadata.num_rows, layout)
    return layout


def _list(text: str) -> list[Any]:
    values = json.loads(text)
    if not isinstance(values, list):
        raise TypeError(text)
    return values


def _check_memory(where: str, rows: int, layout: Layout) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if rows * math.prod(layout.shape) > memory:
        raise UserError(
            f"{where} has {rows} images of shape {brief(list(layout.shape))}, more than the memory "
            "holds; write the shape that they have, or fewer."
        )


def read_labels(path: Path, file: pq.ParquetFile, layout: Layout) -> NDArray[np.int64]:
    """The labels (N,); UserError names the first row whose label is no class."""
    labels = file.read(columns=["label"])["label"].to_pylist()
    classes = len(layout.class_names)
    for row, label in enumerate(labels):
        if label is None or not 0 <= label < classes:
            raise UserError(
                f"{brief(path)}, row {row}: the label is {label}; "
                f"it must lie between 0 and {classes - 1}."
            )
    return np.array(labels, np.int64)


def read_images(path: Path) -> Images:
    """Decode one file; UserError names the first row that is not as the metadata says."""
    with opened(path) as file:
        layout = read_layout(path, file)
        labels = read_labels(path, file, layout)
        encoded = file.read(columns=["image"])["image"].to_pylist()
    pixels = np.empty((len(labels), *layout.shape), np.uint8)
    decode = decode_raw if layout.encoding == "raw-uint8" else decode_file
    with ThreadPoolExecutor() as threads:  # Pillow decodes without the interpreter's lock
        each = map if decode is decode_raw else threads.map
        for row, image in enumerate(each(partial(decode, layout.shape), encoded)):
            if image is None:
                raise UserError(
                    f"{brief(path)}, row {row}: the image is no {layout.encoding} of shape "
                    f"{list(layout.shape)}; write every image in that form."
                )
            pixels[row] = image
    images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    return Images(images, labels, layout.class_names)


def decode_raw(shape: tuple[int, ...], data: bytes | None) -> NDArray[np.uint8] | None:
    """Bare pixels as (H, W, C); None for the wrong number of them."""
    if data is None or len(data) != math.prod(shape):
        return None
    return np.frombuffer(data, np.uint8).reshape(shape)


def decode_file(shape: tuple[int, ...], data: bytes | None) -> NDArray[np.uint8] | None:
    """The bytes of an image file as (H, W, C); None for what is not readable or of that shape."""
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(data or b""))
        image = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    bare = shape if shape[2] > 1 else shape[:2]
    if picture.mode == "P" or image.dtype != np.uint8 or image.shape != bare:
        return None
    return image.reshape(shape)
