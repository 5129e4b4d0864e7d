"""Files that are either the old ones or the whole new ones."""

import os
from contextlib import suppress
from pathlib import Path

from kd.errors import UserError


def replace_file(
    path: Path, content: bytes, remedy: str = "give another -o", *, private: bool = False
) -> None:
    """Write `content` beside `path`, then put it there; UserError if that cannot be done.

    A `private` file may hold a secret: no other user may read it.
    """
    if path.is_dir() or not path.name:
        raise UserError(f"{path} cannot be written: it is a folder; {remedy}.")
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.touch(0o600 if private else 0o666)
        scratch.write_bytes(content)
        scratch.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} cannot be written: {reason}; {remedy}.") from None
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
