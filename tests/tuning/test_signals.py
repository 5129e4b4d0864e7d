"""What ends a sweep from outside: held while it starts, heard once it runs.

Signals are raised in this thread: what is sent to the process may reach another one, and later.
"""

import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic import sweep_result
from test_report import keep

from tuning.records.settings import SweepSettings
from tuning.sweeps import run, searching
from tuning.sweeps.signals import heard, held, listen

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])


@BOTH
def test_they_interrupt_once_ray_has_started(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with held(), pytest.raises(KeyboardInterrupt), heard():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


@BOTH
def test_what_came_while_ray_started_interrupts_then(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with held():
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt), heard():
            pytest.fail("the sweep began")
    assert signal.getsignal(number) is before


@BOTH
def test_what_comes_at_the_end_ends_nothing(number: signal.Signals) -> None:
    with held():
        with heard():
            pass
        signal.raise_signal(number)
    with held(), held(), heard():
        pass


@BOTH
def test_what_came_while_a_search_was_closed_keeps_it_from_being_confirmed(
    number: signal.Signals,
) -> None:
    with held():
        listen()
        with held():
            with heard():
                pass
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            listen()


AFTER_RAY = """
import os, signal
from tuning.engine.runtime import connected
signal.signal(signal.SIGTERM, lambda number, frame: print("heard"))
with connected():
    pass
os.kill(os.getpid(), signal.SIGTERM)
print("lives")
"""


def test_after_ray_a_signal_is_heard_as_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AFTER_RAY], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["heard", "lives"], done.stderr


SLOWLY = """
import ray
from ray._private import services
from tuning.engine.runtime import connected

real, asked = services.get_node, []

def late(*words):
    asked.append(words)
    raise RuntimeError("it is not there yet")

services.get_node = late
import ray._private.node as node
start = node.time.monotonic

class Clock:
    def __getattr__(self, name):
        return getattr(real_time, name)
    def monotonic(self):
        if services.get_node is late and asked:
            services.get_node = real
            return start() + 1000
        return start()

real_time, node.time = node.time, Clock()
with connected() as nodes:
    print(len(nodes), len(asked))
"""


def test_a_ray_that_starts_too_slowly_is_started_once_more() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SLOWLY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Ray did not start in time, as this machine is busy; trying once more …",
        "1 1",
    ]


def test_what_ray_starts_does_not_hear_of_a_closed_terminal() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGHUP); print('lives')"
    with held():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.stdout == b"lives\n"


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with held(), heard():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_does_without() -> None:
    seen: list[Any] = []

    def sweep() -> None:
        with held(), heard():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=sweep)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_a_search_that_is_ended_while_it_closes_opens_no_test_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its summary is printed when the signal comes; nothing of the confirmation begins."""
    result = sweep_result(tmp_path / "s")
    keep(result)
    settings = replace(SweepSettings.load(tmp_path, "s"), confirm=True)

    def closing(sweeps: object) -> int:
        with held():
            signal.raise_signal(signal.SIGTERM)
        return 0

    monkeypatch.setattr(run, "run_sweeps", closing)
    assert searching._run([(settings, settings.space())]) == 130
    said = capsys.readouterr().out
    assert said.strip().startswith("Stopped; go on with: python -m tuning.confirm s ")
    assert "The test set is still sealed." in said
    assert not (tmp_path / "s" / "confirm.log").exists()
