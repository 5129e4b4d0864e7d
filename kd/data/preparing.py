"""Write a data set once in the form that it is trained on: resumable, and never half used."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import islice
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from kd.data.config import ImagesConfig
from kd.data.images import Images, digest_of
from kd.data.names import ABOUT, FOLDER, DatasetName
from kd.data.sources import Source, find_source
from kd.data.sources.pictures import Encoded
from kd.data.sources.prepared import TEST, TRAINING, Contents, files_of, pixels_file
from kd.data.sources.reading import Alike, FileSource, Part, Parts, decoded
from kd.errors import UserError, brief
from kd.files import remove, replace_file, unwritable
from kd.memories import readable

STATE, LOCK = "state.json", "lock"
PIECE = 2**24
"""Bytes that are read at a time to compare what was written."""
REMEDY = "give another --to"


@dataclass
class Progress:
    """How far a set is written: images looked at, and those of them that were kept."""

    looked: int = 0
    kept: int = 0


def prepare(name: str, images: ImagesConfig, folder: Path, root: Path | None = None) -> Contents:
    """Write the images of `name` into `folder`, or go on where that was stopped.

    Raises:
        UserError: they cannot be had, something else lies in the folder, or the disk is too small.
    """
    source = find_source(name, root, None, images)
    _check_outside(folder, name)
    if files := source if isinstance(source, FileSource) else None:
        files.resident = False
    info = source.check()
    shape = (info.channels, *info.size)
    asked = {"source": name, "images": asdict(images), "shape": list(shape)}
    asked["listed"] = files.listed if files else ""
    if (folder / ABOUT).exists():
        return _known(folder, asked)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_empty(folder)
        alone = _alone(folder)
        # Another command may have come to its end just before.
        if (folder / ABOUT).exists():
            return _known(folder, asked)
        progress = _begun(folder, asked)
        parts = _parts(source)
        _check_room(folder, sum(len(part.labels) for part in parts) * prod(shape))
        # What a run before has written had this shape, too.
        alike = Alike((*info.size, info.channels), "the first image")
        for part in parts:
            at = progress.setdefault(part.what, Progress())
            with _Writer(folder, part.what, shape, at) as writer:
                left = at.looked - at.kept
                for row, image in decoded(part, images, alike, at.looked, left):
                    writer.add(image.transpose(2, 0, 1), int(part.labels[row]), row + 1)
                    if writer.due:
                        writer.flush()
                        _save(folder, asked, progress)
                writer.flush()
            _save(folder, asked, progress)
            if not at.kept:
                raise UserError(
                    f"No {part.what} image of {brief(name)} can be decoded; give others."
                )
        classes, counts = parts.class_names, {part.what: progress[part.what].kept for part in parts}
        digests = {n: _digest(folder, n, (count, *shape), classes) for n, count in counts.items()}
        plain = asked | {"class_names": list(classes), "notes": list(parts.notes)}
        plain |= {"counts": counts, "digests": digests}
        replace_file(folder / ABOUT, (json.dumps(plain, indent=1) + "\n").encode(), REMEDY)
        for name in (STATE, LOCK):
            remove(folder / name)
        alone.close()
    except OSError as error:
        raise UserError(unwritable(folder, error, REMEDY)) from None
    return Contents.read(folder, REMEDY)


def compare(folder: Path) -> None:
    """Raise UserError where the pixels of a prepared folder are not those that were written."""
    contents = Contents.read(folder, "give one that was prepared")
    for name, count in contents.counts.items():
        found = _digest(folder, name, (count, *contents.shape), contents.class_names)
        if found != contents.digests[name]:
            raise UserError(
                f"{brief(pixels_file(folder, name))} is not what was written; prepare the images "
                "again, into another folder."
            )


# -- what is written ------------------------------------------------------------------------------


def _parts(source: Source) -> Parts:
    """The sets of a data set; of one that is no files, as it lies in memory."""
    if isinstance(source, FileSource):
        return source.parts
    dataset = source.open()
    train, test = dataset.train, dataset.load_test()
    return Parts(train.class_names, _in_memory(TRAINING, train), _in_memory(TEST, test))


def _in_memory(what: str, images: Images) -> Part:
    pixels = images.images
    assert isinstance(pixels, np.ndarray)
    channels, height, width = pixels.shape[1:]

    def encoded() -> Iterator[Encoded]:
        return (Encoded(Path(what), row) for row in range(len(images)))

    return Part(
        what,
        images.labels,
        encoded,
        lambda: islice(encoded(), 1),
        decode=lambda one, _: pixels[one.row].transpose(1, 2, 0),
        shape_of=lambda *_: (height, width, channels),
        threads=False,
    )


class _Writer:
    """Adds images to the files of a set; what a run before left half written is cut off."""

    def __init__(self, folder: Path, name: str, shape: tuple[int, ...], at: Progress) -> None:
        self.at = at
        self._coming: list[NDArray[np.uint8]] = []
        self._labels: list[int] = []
        self._looked = at.looked
        self._files: list[IO[bytes]] = []
        for path, each in files_of(folder, name, shape):
            file = path.open("r+b" if path.exists() else "w+b")
            file.truncate(at.kept * each)
            file.seek(0, os.SEEK_END)
            self._files.append(file)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            file.close()

    @property
    def due(self) -> bool:
        """Whether enough is in memory."""
        return bool(self._coming) and len(self._coming) * self._coming[0].nbytes >= PIECE

    def add(self, image: NDArray[np.uint8], label: int, looked: int) -> None:
        self._coming.append(image)
        self._labels.append(label)
        self._looked = looked

    def flush(self) -> None:
        """Write what is in memory, to the disk itself."""
        if self._coming:
            pixels, labels = self._files
            pixels.write(np.stack(self._coming).tobytes())
            labels.write(np.array(self._labels, np.int64).tobytes())
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        self.at.kept += len(self._coming)
        self.at.looked = self._looked
        self._coming, self._labels = [], []


def _digest(folder: Path, name: str, shape: tuple[int, ...], classes: tuple[str, ...]) -> str:
    """That of `Images.digest`, of what lies on the disk."""
    digest = blake2b(digest_size=16)
    digest.update(digest_of(shape, classes))
    for path, _ in files_of(folder, name, shape[1:]):
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
    return digest.hexdigest()


# -- what lies there already ----------------------------------------------------------------------


def _known(folder: Path, asked: Mapping[str, Any]) -> Contents:
    """What was prepared before; UserError where that is something else."""
    contents = Contents.read(folder, REMEDY)
    known = (contents.source, dict(contents.images), list(contents.shape))
    if contents.listed not in ("", asked["listed"]) and known[0] == asked["source"]:
        raise UserError(
            f"{brief(folder)} holds {contents.source} as it was before, and it has other images "
            "or classes by now; give another --to."
        )
    if known != (asked["source"], asked["images"], asked["shape"]):
        raise UserError(
            f"{brief(folder)} holds {contents.source}, prepared otherwise; give another --to."
        )
    return contents


def _check_outside(folder: Path, name: str) -> None:
    """Raise UserError where the folder is to lie among the images, as one more class of them."""
    dataset = DatasetName.parse(name)
    if dataset.kind == FOLDER and dataset.folder is not None and not (folder / ABOUT).exists():
        within, images = (Path(os.path.realpath(path)) for path in (folder, dataset.folder))
        if within != images and within.is_relative_to(images):
            raise UserError(
                f"{brief(folder)} lies in {brief(dataset.folder)}, whose folders are classes; "
                "give another --to, outside of it."
            )


def _check_empty(folder: Path) -> None:
    """Raise UserError where something else lies there than what a run before began with."""
    ours = (STATE, LOCK, f".{STATE}.")
    if not (folder / STATE).exists() and not all(
        path.name.startswith(ours) for path in folder.iterdir()
    ):
        raise UserError(f"{brief(folder)} is not empty, and no prepared images; {REMEDY}.")


def _begun(folder: Path, asked: Mapping[str, Any]) -> dict[str, Progress]:
    """How far a run before has come, of the same; UserError where another one was stopped."""
    try:
        plain = json.loads((folder / STATE).read_text(encoding="utf-8"))
        before = asked | plain["asked"]
        if before | {"listed": asked["listed"]} == asked != before:
            raise UserError(
                f"{brief(folder)} holds a half of {before['source']} as it was before, and it has "
                "other images or classes by now; delete the folder to begin again, or give another "
                "--to."
            )
        if before != asked:
            raise UserError(
                f"{brief(folder)} holds {plain['asked']['source']}, prepared otherwise and half; "
                "give another --to."
            )
        return {name: Progress(**at) for name, at in plain["sets"].items()}
    except FileNotFoundError:
        pass
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UserError(
            f"{brief(folder / STATE)} is damaged; delete the folder to begin again."
        ) from None
    _save(folder, asked, {})
    return {}


def _alone(folder: Path) -> IO[bytes]:
    """What keeps other commands out of the folder, as long as it is open."""
    held = (folder / LOCK).open("wb")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        raise UserError(
            f"{brief(folder)} is being prepared by another command; wait for it."
        ) from None
    # Who came to an end in between has taken the file away.
    if not (folder / LOCK).exists() or not os.path.samestat(
        os.fstat(held.fileno()), os.stat(folder / LOCK)
    ):
        held.close()
        return _alone(folder)
    return held


def _save(folder: Path, asked: Mapping[str, Any], progress: Mapping[str, Progress]) -> None:
    plain = {"asked": asked, "sets": {name: asdict(at) for name, at in progress.items()}}
    replace_file(folder / STATE, json.dumps(plain).encode(), REMEDY)


def _check_room(folder: Path, needed: int) -> None:
    """Raise UserError where the disk has not so many bytes for what is still to be written."""
    there = sum(path.stat().st_size for path in folder.iterdir())
    if needed - there > (free := shutil.disk_usage(folder).free):
        raise UserError(
            f"{brief(folder)} needs {readable(needed)}, and {readable(free)} are free there; "
            "make the images smaller by --resize N, or give another --to."
        )
