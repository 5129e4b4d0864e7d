"""Files that are either the old ones or the whole new ones."""

import errno
import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from kd.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What an OSError says of a disk, or a person's share of it, that is full."""


def replace_file(
    path: Path, content: bytes, remedy: str | None = "give another -o", *, private: bool = False
) -> None:
    """Write `content` beside `path`, then put it there; UserError if that cannot be done.

    The remedy names another place; None where there is no other. A `private` file may hold a
    secret: no other user may read it.
    """
    if path.is_dir() or not path.name:
        raise UserError(f"{path} cannot be written: it is a folder; {remedy or 'move it away'}.")
    try:
        with replacing(path, private=private) as file:
            file.write(content)
    except OSError as error:
        raise UserError(unwritable(path, error, remedy)) from None


def unwritable(path: Path, error: OSError, remedy: str | None = None) -> str:
    """The sentence of a file, or of a folder's, that cannot be written, with its way out."""
    if error.errno in FULL:
        remedy = "free some space and type the same again"
    way = remedy or "see that this user may write there and type the same again"
    return f"{path} cannot be written: {error.strerror or error}; {way}."


def relative(folder: Path) -> Path:
    """The folder as it is shortest to type where this process runs."""
    whole, here = folder.absolute(), Path.cwd()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole


def whole(path: str | Path) -> Path:
    """The path from the root, without `..` unless that leads elsewhere, by a link."""
    given, short = Path(path).absolute(), Path(os.path.abspath(path))
    try:
        return short if given == short or os.path.samefile(given, short) else given
    except (OSError, ValueError):
        return given


def check_folder(path: Path, remedy: str = "give another -o") -> None:
    """Raise UserError unless the folder is there that `path` is to be written into."""
    if not os.path.isdir(path.parent):
        raise UserError(
            f"{path} cannot be written: there is no folder {path.parent}; make it, or {remedy}."
        )


@contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of `path` once it is whole and on the disk.

    Whatever fails leaves `path` as it was and nothing beside it; an OSError is passed on. What
    is no file (a pipe, /dev/null, /dev/stdout) is written as it is. A `private` file is for its
    owner alone from the beginning.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        with path.open("wb") as pipe:
            yield pipe
        return
    target = Path(os.path.realpath(path))
    scratch = target.with_name(_scratch(target) + secrets.token_hex(4))
    try:
        if private:
            scratch.touch(0o600, exist_ok=False)
        with scratch.open("wb" if private else "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
    except BaseException:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise


def remove(path: Path) -> None:
    """Delete the file, if it is there, and what writers of it that were killed left beside it."""
    path.unlink(missing_ok=True)
    for scratch in path.parent.glob(f"{glob.escape(_scratch(path))}{'[0-9a-f]' * 8}"):
        scratch.unlink(missing_ok=True)


def _scratch(path: Path) -> str:
    """How the name of an unfinished `path` begins; the whole one may be as long as one can be."""
    return f".{path.name[:40]}."
