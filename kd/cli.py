"""What every command line has in common: its help, one sentence for an error, its exit code."""

import codecs
import io
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tyro

from kd.errors import UserError, brief
from kd.screen import losable

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
            sys.exit(command(_parse(flags, argv)) or 0)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)


def put(text: str) -> None:
    """Print what another program reads, as UTF-8, whatever the terminal's own encoding is.

    UserError for a text that cannot be written so.
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
    change(encoding=encoding)


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


# -- the flags ---------------------------------------------------------------------------------


def _parse(flags: type[A], argv: Sequence[str] | None) -> A:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    prog = f"python -m {spec.name}" if spec else Path(sys.argv[0]).name
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            return tyro.cli(flags, args=argv, prog=prog, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as end:
        if not end.code:
            raise
    raise UserError(_sentence(complaint.getvalue()))


def _sentence(box: str) -> str:
    """The first paragraph of the box that the parser draws around an error."""
    # The box is one of dashes and spaces where the terminal's encoding lacks its lines.
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]
    lines = ["" if set(line) <= set("╰╯─-") else line for line in lines]
    begin = next((i for i, line in enumerate(lines) if line), 0)
    end = next((i for i, line in enumerate(lines) if i > begin and not line), len(lines))
    text = re.sub(r"\s+", " ", " ".join(lines[begin:end])).rstrip(".")
    text = re.sub(r"\S{80,}", lambda long: brief(long[0]), text)
    near = re.search(r"Perhaps you meant:\s+(--[\w-]+)", " ".join(lines))
    return f"{text}; " + (f"did you mean {near[1]}?" if near else "--help lists what can be given.")
