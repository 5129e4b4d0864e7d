"""A folder of anyone's images: DIR/train.parquet and DIR/test.parquet.

Columns `image` (binary) and `label` (integer). The schema's metadata describes them, in JSON:
`shape`, [H, W] or [H, W, C]; `class_names`; `encoding`, `raw-uint8` for the bare pixels
in that order, else anything that Pillow reads without loss (`webp-lossless`, `png`).
"""

import io
import json
import math
import operator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kd.data.config import AugmentConfig
from kd.data.images import Dataset, Images
from kd.data.names import PARQUET, DatasetName
from kd.errors import UserError

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
    """The images of `folder`."""

    folder: Path

    def check(self) -> None:
        """Read the two footers; UserError if a file is missing, damaged or of another form."""
        if not self.folder.is_dir():
            raise UserError(f"{self.folder} is not a folder; give --dataset parquet:DIR one.")
        train, test = read_layout(self.folder / "train.parquet"), read_layout(self._test)
        if (train.shape, train.class_names) != (test.shape, test.class_names):
            raise UserError(
                f"{self._test} has other shapes or classes than train.parquet beside it; "
                "write both from the same data."
            )

    def open(self) -> Dataset:
        """Decode the training set."""
        name = str(DatasetName(PARQUET, self.folder))
        train = read_images(self.folder / "train.parquet")
        return Dataset(name, train, partial(read_images, self._test))

    def augment(self) -> AugmentConfig:
        """Crop after padding by an eighth, as CIFAR's 4 of 32 pixels, and flip."""
        height = read_layout(self.folder / "train.parquet").shape[0]
        return AugmentConfig(crop_padding=height // 8)

    @property
    def _test(self) -> Path:
        return self.folder / "test.parquet"


def read_layout(path: Path) -> Layout:
    """The layout of the file, from its footer alone; UserError if it is not of this form."""
    try:
        footer = pq.read_metadata(path)
        schema = footer.schema.to_arrow_schema()
    except FileNotFoundError:
        raise UserError(f"{path} is not there; the folder needs this file.") from None
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from None
    if not footer.num_rows:
        raise UserError(f"{path} has no rows; write images into it.")
    for column, kinds in COLUMNS.items():
        if column not in schema.names or not any(is_a(schema.field(column).type) for is_a in kinds):
            kind = "binary" if column == "image" else "integer"
            raise UserError(f"{path} has no {kind} column {column!r}; write it with one.")
    try:
        metadata = {key.decode(): value.decode() for key, value in schema.metadata.items()}
        shape = tuple(map(operator.index, _list(metadata["shape"])))
        names = tuple(map(str, _list(metadata["class_names"])))
        encoding = metadata["encoding"]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise UserError(
            f"{path} does not say what its images are; its schema's metadata must hold shape and "
            "class_names, each a JSON list, and encoding."
        ) from None
    if len(shape) not in (2, 3) or min(shape) < 1 or not names or encoding not in ENCODINGS:
        raise UserError(
            f"{path} has shape {list(shape)}, {len(names)} classes and encoding {encoding!r}; "
            f"it needs [H, W] or [H, W, C], a class, and one of {', '.join(ENCODINGS)}."
        )
    return Layout(shape if len(shape) == 3 else (*shape, 1), names, encoding)


def _list(text: str) -> list[Any]:
    values = json.loads(text)
    if not isinstance(values, list):
        raise TypeError(text)
    return values


def read_images(path: Path) -> Images:
    """Decode one file; UserError names the first row that is not as the metadata says."""
    layout = read_layout(path)
    try:
        table = pq.read_table(path, columns=["image", "label"])
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from None
    labels = table["label"].to_pylist()
    for row, label in enumerate(labels):
        if label is None or not 0 <= label < len(layout.class_names):
            raise UserError(
                f"{path}, row {row}: the label is {label}; "
                f"it must lie between 0 and {len(layout.class_names) - 1}."
            )
    try:
        pixels = np.empty((len(table), *layout.shape), np.uint8)
    except (MemoryError, ValueError):  # numpy's word for more than can be addressed
        raise UserError(
            f"{path} has {len(table)} images of shape {list(layout.shape)}, more than the memory "
            "holds; write the shape that they have, or fewer."
        ) from None
    encoded = table["image"].to_pylist()
    decode = decode_raw if layout.encoding == "raw-uint8" else decode_file
    with ThreadPoolExecutor() as threads:  # Pillow decodes without the interpreter's lock
        each = map if decode is decode_raw else threads.map
        for row, image in enumerate(each(partial(decode, layout.shape), encoded)):
            if image is None:
                raise UserError(
                    f"{path}, row {row}: the image is no {layout.encoding} of shape "
                    f"{list(layout.shape)}; write every image in that form."
                )
            pixels[row] = image
    images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    return Images(images, np.array(labels, np.int64), layout.class_names)


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


def damaged(path: Path, error: Exception) -> UserError:
    """The error for a file that is no Parquet, or no longer."""
    reason = str(error).splitlines()[0].rstrip(".")
    return UserError(f"{path} cannot be read as Parquet ({reason}); write or copy it again.")
