"""Standard output and error that a command can lose, and go on; or that show warnings alone.

The reader of a pipe goes first (`… | head -1`), a terminal is closed, the disk behind a log is
full: what is shown ends then, and not the work.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from errno import EBADF
from pathlib import Path
from typing import Any, TextIO, cast


class _Losable:
    """A text stream that falls silent for good when it cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = False
        self.failure: Exception | None = None
        """Why it was lost."""

    def write(self, text: str) -> int:
        """Write `text`; what the stream's encoding lacks becomes a question mark."""
        try:
            self._do(lambda: self._stream.write(text))
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            plain = text.encode(encoding, "replace").decode(encoding)
            self._do(lambda: self._stream.write(plain))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write all the lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is held back."""
        self._do(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _do(self, act: Callable[[], object]) -> None:
        if self._lost:
            return
        try:
            act()
        except UnicodeEncodeError:
            raise
        except (OSError, ValueError) as error:
            self._lost, self.failure = True, error
            _discard(self._stream)


def _discard(stream: TextIO) -> None:
    """Send to nowhere what the stream still holds, and what others write into its file.

    Python writes it out when it ends, and would end with an error of its own.
    """
    with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


class _Silent:
    """A text stream that drops what one thread prints, the one that made it, until it is ended."""

    def __init__(self, loud: TextIO) -> None:
        self.loud = loud
        self._thread: int | None = threading.get_ident()

    def write(self, text: str) -> int:
        """Write `text`, unless it is of the thread that is silent."""
        return len(text) if threading.get_ident() == self._thread else self.loud.write(text)

    def writelines(self, lines: list[str]) -> None:
        """Write all the lines."""
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        """No: nothing is drawn on it."""
        return False

    def end(self) -> None:
        """Drop nothing any more, for whoever still has it."""
        self._thread = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loud, name)


def warn(sentence: str) -> None:
    """Print a sentence that is to be seen even within `silent`."""
    print(sentence, file=getattr(sys.stdout, "loud", None), flush=True)


def is_silent() -> bool:
    """Whether standard output shows warnings alone."""
    return hasattr(sys.stdout, "loud")


@contextmanager
def silent() -> Iterator[None]:
    """Within, this thread prints nothing on standard output but what it warns of."""
    before = sys.stdout
    within = _Silent(before)
    sys.stdout = cast(TextIO, within)
    try:
        yield
    finally:
        within.end()
        _put_back("stdout", within, before)


@contextmanager
def losable() -> Iterator[None]:
    """Let standard output and error be lost within, to whoever prints."""
    before = sys.stdout, sys.stderr
    with ExitStack() as opened:
        sys.stdout, sys.stderr = (cast(TextIO, _losable(s, opened)) for s in before)
        within = sys.stdout, sys.stderr
        try:
            yield
        finally:
            for stream in within:
                stream.flush()
            for name, stream, found in zip(("stdout", "stderr"), within, before, strict=True):
                _put_back(name, stream, found)


def _put_back(name: str, within: object, before: TextIO | None) -> None:
    """Let `sys` have its stream again; not where another thread has put one there meanwhile."""
    if getattr(sys, name) is within:
        setattr(sys, name, before)


def _losable(stream: TextIO | None, opened: ExitStack) -> _Losable:
    """One that may be lost; closed by whoever started us (`>&-`), it is lost already."""
    if stream is not None:
        return _Losable(stream)
    nowhere = opened.enter_context(closing(Path(os.devnull).open("w", encoding="utf-8")))  # noqa: SIM115
    lost = _Losable(nowhere)
    lost.failure = OSError(EBADF, "it is closed")
    return lost
