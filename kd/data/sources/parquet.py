"""A folder of Parquet files: FOLDER/train.parquet and FOLDER/test.parquet, or in several parts.

`train-00000-of-00007.parquet` is one of them, in FOLDER/data too, as Hugging Face keeps them.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kd.data.config import ImagesConfig
from kd.data.sources.pictures import Encoded, decode_file, shape_of
from kd.data.sources.reading import Part, Parts
from kd.data.sources.rows import RAW, Form, opened, read_form, read_labels, read_rows
from kd.data.sources.splits import NAMES, TEST, TRAIN, check_apart, roles
from kd.errors import UserError, brief

SHARD = re.compile(rf"({'|'.join(NAMES)})(?:-(\d+)-of-(\d+)(?:-\w+)?)?\.parquet")


@dataclass(frozen=True, eq=False)
class Table:
    """The files that hold one set, of one form, and how many images there are."""

    paths: tuple[Path, ...]
    form: Form
    count: int

    @classmethod
    def read(cls, paths: tuple[Path, ...]) -> "Table":
        """Read footers; UserError for what is damaged or of another form."""
        forms, count = [], 0
        for path in paths:
            with opened(path) as file:
                forms.append(read_form(path, file))
                count += file.metadata.num_rows
            if forms[-1] != forms[0]:
                raise UserError(
                    f"{brief(path)} has other columns, shapes or classes than {paths[0].name} "
                    "beside it; write both from the same data."
                )
        return cls(paths, forms[0], count)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,); UserError for one that is no class."""
        read = []
        for path in self.paths:
            with opened(path) as file:
                read.append(read_labels(path, file, self.form))
        return np.concatenate(read)

    def require(self, form: Form, others: Path) -> None:
        """Raise UserError unless its shape and classes are those of `others`."""
        mine, its = self.form.layout, form.layout
        alike = (mine and mine.shape) == (its and its.shape)
        if not alike or self.form.class_names != form.class_names:
            raise UserError(
                f"{brief(self.paths[0])} has other shapes or classes than {others.name} "
                "beside it; write both from the same data."
            )

    def part(self, what: str) -> Part:
        """Its images as one of the sets."""
        layout = self.form.layout
        decode, shape = (layout.decode, layout.shape_of) if layout else (decode_file, shape_of)
        bare = layout is not None and layout.encoding == RAW
        places = self._encoded, self._first
        return Part(what, self.labels, *places, decode, shape, threads=not bare)

    def _encoded(self) -> Iterator[Encoded]:
        return chain.from_iterable(read_rows(path, self.form) for path in self.paths)

    def _first(self) -> Iterator[Encoded]:
        """The first one; where metadata says the shape, nothing of it is needed."""
        if self.form.layout is not None:
            return iter([Encoded(self.paths[0], 0)])
        return islice(self._encoded(), 1)


def find_parquet(folder: Path, images: ImagesConfig, remedy: str) -> Parts:
    """The sets of a folder of Parquet files.

    UserError if a file is missing, damaged or of another form, or a label is out of range.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{brief(folder.absolute())} is not a folder; {remedy}.")
    found = shards(folder)
    for name in (TRAIN, TEST):
        found.setdefault(name, (folder / f"{name}.parquet",))
    where = brief(folder.absolute())
    there = {name for name, paths in found.items() if os.path.lexists(paths[0])}
    who = roles(there, where, asked_val=images.val is not None)
    train = Table.read(found[TRAIN])
    test = Table.read(found[who.test if who else TEST])
    val = None
    if who and who.val is not None:
        val = Table.read(found[who.val])
    if images.val is not None:
        val = _own_val(Path(images.val), train, test)
    for other in (test, val):
        if other is not None:
            other.require(train.form, train.paths[0])
    names = train.form.class_names
    if names is None:
        every = (table.labels.max() for table in (train, test, val) if table is not None)
        names = tuple(map(str, range(int(max(every)) + 1)))
    own = None if val is None else val.part("val")
    return Parts(names, train.part("training"), test.part(TEST), own, who.notes if who else ())


def shards(folder: Path) -> dict[str, tuple[Path, ...]]:
    """The files of each set in `folder`, or in its folder `data`; UserError if one is missing."""
    for place in (folder, folder / "data"):
        found: dict[str, list[tuple[Path, str | None]]] = {}
        for path in sorted(place.glob("*.parquet")):
            if known := SHARD.fullmatch(path.name):
                found.setdefault(known[1], []).append((path, known[3]))
        if found:
            return {name: _whole(name, files) for name, files in found.items()}
    return {}


def _whole(name: str, files: list[tuple[Path, str | None]]) -> tuple[Path, ...]:
    count = files[0][1]
    if any(other != count for _, other in files) or len(files) != int(count or 1):
        raise UserError(
            f"{brief(files[0][0].parent)} has {len(files)} files of {name}, and their names say "
            f"{count or 1}; put all parts of one writing there, and no others."
        )
    return tuple(path for path, _ in files)


def _own_val(path: Path, train: Table, test: Table) -> Table:
    """A val set that a person names: a Parquet file, or a folder of nothing else."""
    paths = tuple(sorted(path.glob("*.parquet"))) if os.path.isdir(path) else (path,)
    if not paths:
        raise UserError(f"{brief(path)} holds no Parquet file; give one that does (--val).")
    for own in paths:
        check_apart(own, train.paths, test.paths)
    return Table.read(paths)
