"""What ends a sweep from outside, as Ctrl-C does: SIGTERM, and the closing of its terminal."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def hangups_ignored() -> Iterator[tuple[signal.Signals, ...]]:
    """Ignore SIGHUP, for this process and those that it starts; yields what is to end the sweep.

    Ray's processes inherit it: a terminal that is closed tells them all, and this one ends them in
    their order. Under `nohup` nothing that happens to the terminal ends anything.
    """
    if threading.current_thread() is not threading.main_thread():
        yield ()
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield ((signal.SIGTERM,) if before is signal.SIG_IGN else (signal.SIGTERM, signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def as_interrupt(numbers: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Raise KeyboardInterrupt at these signals; to be entered once Ray has started.

    Ray's own handler of SIGTERM, set when it starts, would abort the process. `numbers` is empty
    outside of the main thread, where Python takes no signals.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
