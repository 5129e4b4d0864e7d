"""What ends a sweep from outside, as Ctrl-C does: SIGTERM, and the closing of its terminal.

While a sweep starts it must not be interrupted just anywhere: what comes then is held, and heard
once Ray is there. What comes while a search is closed keeps it from being confirmed.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_holding: set[signal.Signals] = set()
_came: list[int] = []


@contextmanager
def held() -> Iterator[None]:
    """Hold back what would end this process; it interrupts within `heard`, and only there.

    SIGHUP is blocked, which the processes that are started meanwhile inherit: a terminal that is
    closed tells them all, and this one ends them in their order. Under `nohup` nothing that
    happens to the terminal ends anything. Outside of the main thread, where Python takes no
    signals, and within another `held`, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread() or _holding:
        yield
        return
    numbers = {signal.SIGTERM, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    before = {number: signal.signal(number, _note) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers & {signal.SIGHUP})
    _holding.update(numbers)
    try:
        yield
    finally:
        _holding.clear()
        _came.clear()
        for number in numbers:
            # What came too late to end anything is forgotten.
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def heard() -> Iterator[None]:
    """Raise KeyboardInterrupt for what is held back, also for what came before; not in threads."""
    numbers = set(_holding)
    if threading.current_thread() is not threading.main_thread():
        numbers = set()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            signal.signal(number, _interrupt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers & {signal.SIGHUP})
        if numbers and _came:
            raise KeyboardInterrupt
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers & {signal.SIGHUP})
        for number, handler in before.items():
            signal.signal(number, handler)


def listen() -> None:
    """Raise KeyboardInterrupt for what was held back so far."""
    with heard():
        pass


def _note(number: int, frame: FrameType | None) -> None:
    _came.append(number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
