"""What ends a sweep from outside."""

import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from tuning.sweeps.signals import as_interrupt, hangups_ignored


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_they_interrupt_once_ray_has_started(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with hangups_ignored() as endings:
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt), as_interrupt(endings):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_what_ray_starts_does_not_hear_of_a_closed_terminal() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGHUP); print('lives')"
    with hangups_ignored():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.stdout == b"lives\n"


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with hangups_ignored() as endings, as_interrupt(endings):
            os.kill(os.getpid(), signal.SIGHUP)
        assert endings == (signal.SIGTERM,)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_does_without() -> None:
    seen: list[Any] = []

    def sweep() -> None:
        with hangups_ignored() as endings, as_interrupt(endings):
            seen.append(endings)

    thread = threading.Thread(target=sweep)
    thread.start()
    thread.join()
    assert seen == [()]
