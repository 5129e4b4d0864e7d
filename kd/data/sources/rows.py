"""What a Parquet file of images holds, by its schema: in our own form, or in Hugging Face's.

Ours: columns `image` (binary) and `label` (integer). The schema's metadata describes them, in JSON:
`shape`, [H, W] or [H, W, C]; `class_names`; `encoding`, `raw-uint8` for the bare pixels in that
order, else anything that Pillow reads. Theirs: `image` or `img`, of {bytes, path} or of bytes
alone, and a column of labels, whose names their own metadata holds.
"""

import json
import math
import operator
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from kd.data.config import ImagesConfig
from kd.data.sources.pictures import BadImageError, Encoded, brought, loaded
from kd.errors import UserError, brief

COLUMNS = {
    "image": (pa.types.is_binary, pa.types.is_large_binary),
    "label": (pa.types.is_integer,),
}
RAW = "raw-uint8"
ENCODINGS = (RAW, "webp-lossless", "png", "jpeg")
OURS = ("shape", "class_names", "encoding")
FILES = (b"\x89PNG", b"\xff\xd8\xff")
"""How a PNG and a JPEG begin: what they are is clear, whatever the metadata says."""
THEIR_IMAGES, THEIR_LABELS = ("image", "img"), ("label", "fine_label")
BATCH = 256
"""Rows whose images are in memory at a time as they lie in the file."""


@dataclass(frozen=True)
class Layout:
    """What our metadata says: shape (H, W, C), the classes, how an image's bytes are read."""

    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    encoding: str

    def decode(self, one: Encoded, images: ImagesConfig) -> NDArray[np.uint8]:
        """One image in the form of `images`.

        Raises:
            BadImageError: it cannot be decoded.
            UserError: it is not as the metadata says.
        """
        data = one.data or b""
        whole = len(data) == math.prod(self.shape)
        # Of the right number of bytes are bare pixels, whatever the first of them are.
        if self.encoding == RAW and (whole or not data.startswith(FILES)):
            if not whole:
                raise BadImageError(f"it is no {RAW} of shape {list(self.shape)}")
            pixels = np.frombuffer(data, np.uint8).reshape(self.shape)
            if not self._changed(images):
                return pixels
            picture = self._picture(pixels, one.where)
        else:
            picture = loaded(one)
        if self._changed(images):
            pixels = brought(picture, one.where, images)
        else:
            pixels = np.asarray(picture)
            pixels = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
        if (
            pixels.shape != self.shape_of(one, images)
            or pixels.dtype != np.uint8
            or (picture.mode == "P" and not images.convert)
        ):
            raise UserError(
                f"{one.where}: the image is no {self.encoding} of shape {list(self.shape)}; write "
                "every image in that form."
            )
        return pixels

    def shape_of(self, _: Encoded, images: ImagesConfig) -> tuple[int, ...]:
        """The shape that `decode` gives."""
        height, width, channels = self.shape
        if images.size is not None:
            height = width = images.size
        return height, width, 3 if images.convert else channels

    def _changed(self, images: ImagesConfig) -> bool:
        return images.convert or images.size is not None

    def _picture(self, pixels: NDArray[np.uint8], where: str) -> Image.Image:
        if self.shape[2] not in (1, 3, 4):
            raise UserError(
                f"{where} has {self.shape[2]} channels, of which no picture can be made; leave "
                "--resize and --convert-images away."
            )
        return Image.fromarray(pixels[..., 0] if self.shape[2] == 1 else pixels)


@dataclass(frozen=True)
class Form:
    """How the columns of a file are read.

    class_names: None where its labels have no names. layout: what our own metadata says; None
    where every image is a file of its own form.
    """

    image: str
    label: str
    class_names: tuple[str, ...] | None
    layout: Layout | None = None


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


def read_form(path: Path, file: pq.ParquetFile) -> Form:
    """How the file is read, from its footer alone; UserError if it is of neither form."""
    where, schema = brief(path), file.schema_arrow
    if not file.metadata.num_rows:
        raise UserError(f"{where} has no rows; write images into it.")
    if any(key.encode() in (schema.metadata or {}) for key in OURS):
        return _ours(where, schema)
    return _theirs(where, schema)


def read_labels(path: Path, file: pq.ParquetFile, form: Form) -> NDArray[np.int64]:
    """The labels (N,); UserError names the first row whose label is no class."""
    labels = file.read(columns=[form.label])[form.label].to_pylist()
    classes = 2**62 if form.class_names is None else len(form.class_names)
    for row, label in enumerate(labels):
        if label is None or not 0 <= label < classes:
            must = f"lie between 0 and {classes - 1}" if form.class_names else "be 0 or more"
            if label == -1:
                must += ", and a set without labels has to be left away"
            raise UserError(f"{brief(path)}, row {row}: the label is {label}; it must {must}.")
    return np.array(labels, np.int64)


def read_rows(path: Path, form: Form) -> Iterator[Encoded]:
    """The images of the file in their order; a few are in memory at a time."""
    row = 0
    with opened(path) as file:
        nested = pa.types.is_struct(file.schema_arrow.field(form.image).type)
        column = f"{form.image}.bytes" if nested else form.image
        for batch in file.iter_batches(BATCH, columns=[column]):
            values = batch.column(0)
            for data in (values.field("bytes") if nested else values).to_pylist():
                yield Encoded(path, row, data)
                row += 1


# -- our own form ----------------------------------------------------------------------------------


def _ours(where: str, schema: pa.Schema) -> Form:
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
    _check_names(where, names)
    layout = Layout(shape if len(shape) == 3 else (*shape, 1), names, encoding)
    return Form("image", "label", names, layout)


def _check_names(where: str, names: tuple[str, ...]) -> None:
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise UserError(
            f"{where} gives the name {brief(repr(twice[0]))} to two classes; give every class its "
            "own."
        )


def _list(text: str) -> list[Any]:
    values = json.loads(text)
    if not isinstance(values, list):
        raise TypeError(text)
    return values


# -- Hugging Face's ------------------------------------------------------------------------------


def _theirs(where: str, schema: pa.Schema) -> Form:
    columns = Counter(field.name for field in schema)
    for name in (*THEIR_IMAGES, *THEIR_LABELS):
        if columns[name] > 1:
            raise UserError(f"{where} has {columns[name]} columns {name!r}; write it with one.")
    image = next((field.name for field in schema if _holds_images(field)), None)
    if image is None:
        raise UserError(
            f"{where} has no binary column 'image', nor 'img', nor one of them with bytes in it; "
            "write it with one."
        )
    integers = [field.name for field in schema if pa.types.is_integer(field.type)]
    known = [name for name in THEIR_LABELS if name in integers] or integers
    if len(known) > 1 and known == integers and known[0] not in THEIR_LABELS:
        raise UserError(
            f"{where} has the integer columns {brief(', '.join(known))}, and which are the labels "
            "is not said; rename that one to label."
        )
    if not known:
        raise UserError(f"{where} has no integer column 'label'; write it with one.")
    names = _class_names(schema, known[0])
    if names is not None:
        _check_names(where, names)
    return Form(image, known[0], names)


def _holds_images(field: pa.Field) -> bool:
    kind = field.type
    if pa.types.is_struct(kind):
        places = [kind.field(i) for i in range(kind.num_fields)]
        kind = next((place.type for place in places if place.name == "bytes"), None)
    binary = kind is not None and any(is_a(kind) for is_a in COLUMNS["image"])
    return field.name in THEIR_IMAGES and binary


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """What their metadata says of the labels; None where it says nothing."""
    try:
        about = json.loads(schema.metadata[b"huggingface"])
        names = about["info"]["features"][label]["names"]
        return tuple(map(str, names)) if isinstance(names, list) and names else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
