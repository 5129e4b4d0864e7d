"""What every command line has in common: its help, one sentence for an error, its exit code."""

import codecs
import re
import sys
from collections.abc import Callable, Sequence
from errno import EACCES, EEXIST, EISDIR, ELOOP, ENAMETOOLONG, ENOTDIR, EPERM, EPIPE, EROFS
from typing import Any, NoReturn, TypeVar

import tyro

from kd.errors import UserError, brief
from kd.screen import losable
from kd.typed import read_flags

A = TypeVar("A")


def run(
    flags: type[A], command: Callable[[A], int | None], argv: Sequence[str] | None = None
) -> NoReturn:
    """Parse `argv` into the dataclass `flags`, call `command`, and exit.

    Exit codes: what `command` returns, 0 for None; 2 for bad input, after one sentence on
    stderr; 130 if interrupted. The command goes on where nobody reads what it prints.
    """
    _bear_any_encoding()
    with losable():
        try:
            sys.exit(command(read_flags(flags, argv)) or 0)
        except UserError as error:
            _refuse(str(error))
        except OSError as error:
            if (refused := of_path(error)) is None:
                raise
            _refuse(str(refused))
        except KeyboardInterrupt:
            sys.exit(130)


_OF_PATHS = {
    ENAMETOOLONG: "give a shorter name or path",
    **dict.fromkeys((EACCES, EPERM), "see that you may read and write there, or name another"),
    EROFS: "name another one, which may be written",
    **dict.fromkeys((ENOTDIR, EISDIR, EEXIST, ELOOP), "move away what lies there"),
}
"""What to do about an error of a path, by its number."""


def of_path(error: OSError) -> UserError | None:
    """The sentence for an error of a path; None for any other.

    Any question about a path may end so, and there are many.
    """
    if error.filename is None or error.errno not in _OF_PATHS:
        return None
    why = f"cannot be used: {error.strerror}; {_OF_PATHS[error.errno]}"
    return UserError(f"{error.filename} {why}.")


def _refuse(sentence: str) -> NoReturn:
    """Print the sentence, of whatever is long in it the beginning, and exit with 2."""
    said = re.sub(r"[^\s;,'\"]{250,}", lambda long: brief(long[0]), sentence)
    print(f"error: {said}", file=sys.stderr)
    sys.exit(2)


def put(text: str) -> None:
    """Print what another program reads, as UTF-8, whatever the terminal's own encoding is.

    UserError for a text that cannot be written so, and where it is lost, unless to a pipe whose
    reader has read enough.
    """
    utf8(text)
    stream: Any = sys.stdout
    encoding = stream.encoding
    stream.flush()
    # A stream that is no file, as in a notebook, takes any text.
    change = getattr(stream, "reconfigure", None) or (lambda **to: None)
    change(encoding="utf-8")
    stream.write(text)
    stream.flush()
    change(encoding=encoding, errors="kd.plain")
    failure = getattr(stream, "failure", None)
    if failure is not None and getattr(failure, "errno", None) != EPIPE:
        why = getattr(failure, "strerror", None) or failure
        raise UserError(f"The output cannot be written: {why}; write it elsewhere.")


def utf8(text: str) -> bytes:
    """`text` as UTF-8; UserError where a part of it, a file's name, is no text at all."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        part = brief(ascii(error.object[max(0, error.start - 20) : error.end + 20]))
        raise UserError(f"{part} is no text, so it cannot be written; rename the file.") from None


def shown(metavar: str) -> Any:
    """An annotation for an optional flag: the word for its value in the help, no `default: None`.

    Used as `trials: Annotated[int | None, shown("N")] = None`.
    """
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


def repeated(metavar: str) -> Any:
    """An annotation for a flag that may be given several times."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="may be repeated")


# -- what the encoding of a terminal, a pipe or a log lacks ----------------------------------------

_PLAIN = {
    **dict.fromkeys("–—−·‑", "-"),
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("‘’", "'"),
    **{"±": "+/-", "…": "...", "×": "x", "→": "->", "²": "^2"},
    **dict.fromkeys(map(chr, range(0x2500, 0x2580)), "-"),
    "│": "|",
    **dict.fromkeys(map(chr, range(0x2580, 0x25A0)), "#"),
}


def _plain(error: UnicodeError) -> tuple[str, int]:
    """A handler of codecs: signs become like ones, letters of a name their escapes."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    written = (_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return "".join(written), error.end


def _bear_any_encoding() -> None:
    codecs.register_error("kd.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="kd.plain")
