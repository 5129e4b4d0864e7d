"""What every command line has in common: its help, one sentence for an error, its exit code."""

import io
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from typing import Any, NoReturn, TypeVar

import tyro

from kd.errors import UserError

A = TypeVar("A")


def run(
    flags: type[A], command: Callable[[A], int | None], argv: Sequence[str] | None = None
) -> NoReturn:
    """Parse `argv` into the dataclass `flags`, call `command`, and exit.

    Exit codes: what `command` returns, 0 for None; 2 for bad input, after one sentence on
    stderr; 130 if interrupted.
    """
    try:
        sys.exit(command(_parse(flags, argv)) or 0)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def shown(metavar: str) -> Any:
    """An annotation for an optional flag: the word for its value in the help, no `default: None`.

    Used as `trials: Annotated[int | None, shown("N")] = None`.
    """
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


def repeated(metavar: str) -> Any:
    """An annotation for a flag that may be given several times."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="may be repeated")


def _parse(flags: type[A], argv: Sequence[str] | None) -> A:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    prog = f"python -m {spec.name}" if spec else None
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
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]
    first = next((i for i, line in enumerate(lines) if not line or line[0] in "─╰"), len(lines))
    text = re.sub(r"\s+", " ", " ".join(lines[:first])).rstrip(".")
    near = re.search(r"Perhaps you meant:\s+(--[\w-]+)", " ".join(lines))
    return f"{text}; " + (f"did you mean {near[1]}?" if near else "--help lists what can be given.")
