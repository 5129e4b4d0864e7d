"""Standard output and error that a command can lose, and go on.

The reader of a pipe goes first (`… | head -1`), a terminal is closed, the disk behind a log is
full: what is shown ends then, and not the work.
"""

import os
import sys
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
            sys.stdout, sys.stderr = before


def _losable(stream: TextIO | None, opened: ExitStack) -> _Losable:
    """One that may be lost; closed by whoever started us (`>&-`), it is lost already."""
    if stream is not None:
        return _Losable(stream)
    nowhere = opened.enter_context(closing(Path(os.devnull).open("w", encoding="utf-8")))  # noqa: SIM115
    lost = _Losable(nowhere)
    lost.failure = OSError(EBADF, "it is closed")
    return lost
