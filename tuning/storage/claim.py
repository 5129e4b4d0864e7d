"""One process at a time trains for a sweep, from its search to the end of its confirmation."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kd.errors import UserError

_OWN: set[Path] = set()
"""What this process has claimed."""
PATIENCE = 0.05
"""Seconds after which a claim is tried again, twice."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The sweep in `folder` is this process's; a claim within a claim is the same one.

    Its end, however it comes, ends the claim. Raises UserError while another process has it.
    """
    own = folder.resolve()
    if own in _OWN:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not _locked(handle):
            raise UserError(
                f"Another process is searching or confirming {folder.name}; wait for it, or stop "
                "it first."
            )
        _OWN.add(own)
        try:
            yield
        finally:
            _OWN.discard(own)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Whether it is locked now, or need not be: some network file systems have no locks."""
    for last in (False, False, True):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not last:
                # Whoever asks `in_use` holds it for a moment.
                time.sleep(PATIENCE)
        except OSError:
            return True
        else:
            return True
    return False


def in_use(folder: Path) -> bool:
    """Whether another process has claimed the sweep in `folder`, as far as it can be known."""
    if folder.resolve() in _OWN:
        return False
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
    return False
