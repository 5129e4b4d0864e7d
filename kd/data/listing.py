"""The image files in a folder, by name: nothing of them is read."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kd.errors import UserError, brief

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
"""How the name of an image ends; in which form it is, its first bytes say."""
LEFT_BY_SYSTEMS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information")
FILES_LEFT = ("thumbs.db", "desktop.ini")
ANNOTATIONS = "val_annotations.txt"
"""The file of Tiny ImageNet that says of which class an image is."""


def subfolders(folder: Path) -> list[str]:
    """The names of the folders in `folder`, sorted, without what systems leave there."""
    with _read(folder), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not _hidden(entry.name) and entry.is_dir())


def images_beside(folder: Path) -> list[str]:
    """The names of the images in `folder` itself, sorted."""
    with _read(folder), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_file()]
    return sorted(name for name in names if _is_image(name) and not _hidden(name))


def files_in(folder: Path) -> tuple[list[str], list[str]]:
    """The names within `folder` of all images in it and in its folders, and of all other files.

    Both sorted, and without what systems leave there.
    """
    images: list[str] = []
    others: list[str] = []
    for name in _files(folder):
        if _is_image(name):
            images.append(name)
        elif os.path.basename(name).lower() not in FILES_LEFT:
            others.append(name)
    return sorted(images), sorted(others)


def images_identity(folder: Path) -> str:
    """A digest of the names and sizes of the images of `folder`, wherever it is."""
    digest = hashlib.sha256()
    with _read(folder):
        for name in sorted(_files(folder)):
            if _is_image(name) or os.path.basename(name) == ANNOTATIONS:
                size = os.stat(os.path.join(folder, name)).st_size
                digest.update(os.fsencode(name) + f" {size}\n".encode())
    return digest.hexdigest()[:16]


def _files(folder: Path) -> Iterator[str]:
    """All files that are not hidden, each folder once, though links lead to it in a circle."""
    seen = set()
    with _read(folder):
        for where, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
            about = os.stat(where)
            if (about.st_dev, about.st_ino) in seen:
                folders.clear()
                continue
            seen.add((about.st_dev, about.st_ino))
            folders[:] = sorted(name for name in folders if not _hidden(name))
            within = os.path.relpath(where, folder)
            before = "" if within == "." else f"{within}/"
            yield from (before + name for name in names if not _hidden(name))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in LEFT_BY_SYSTEMS


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _raise(error: OSError) -> None:
    raise error


@contextmanager
def _read(folder: Path) -> Iterator[None]:
    """Make one sentence of what the disk says while `folder` is listed."""
    try:
        yield
    except OSError as error:
        where = brief(error.filename or folder)
        raise UserError(
            f"{where} cannot be read: {error.strerror}; see that you may read it."
        ) from None
