"""Sweeps in processes of their own, as a person runs them; some are read by several tests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from optuna.trial import FrozenTrial

from kd.training.checkpoint import load
from tuning.study.journal import load_study

COMMAND = [sys.executable, "-m", "tuning.search"]


def start(storage: Path, *flags: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *flags, "--storage", str(storage)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **more,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    said, _ = process.communicate(timeout=540)
    assert process.returncode == code, said
    assert "Traceback" not in said, said
    return said


def journal(storage: Path, name: str) -> list[FrozenTrial]:
    """The trials of a sweep; none before there is a study."""
    path = storage / name / "study.log"
    if not path.exists() or not path.stat().st_size:
        return []
    return load_study(path, "search").get_trials()


def wait_for(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


class Cells(NamedTuple):
    """A sweep over two cells, in which no trial is stopped: kd with a teacher, and pskd."""

    storage: Path
    said: str
    kd: str = "both-kd-resnet8-digits"
    pskd: str = "both-pskd-resnet8-digits"


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    storage = tmp_path_factory.mktemp("cells")
    process = start(storage, "kd", "pskd", "--teacher", "resnet8", "--trials", "3", "--epochs", "2",
                    "--scheduler", "none", "--name", "both")  # fmt: skip
    return Cells(storage, finish(process))


class Resumed(NamedTuple):
    """A sweep of which some trials were finished and some were running when it was killed.

    `cut` holds the seconds of every epoch of the trials that were running, from their
    checkpoints.
    """

    storage: Path
    before: list[FrozenTrial]
    cut: dict[int, list[float]]
    name: str = "killed"
    trials: int = 5
    epochs: int = 9
    rung: int = 5
    """The epoch after which poor trials are stopped."""


@pytest.fixture(scope="session")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    storage, name = tmp_path_factory.mktemp("resumed"), "killed"
    # The rung is the one epoch that a trial is sure to be kept after, before its last.
    process = start(storage, "lsskd", "--trials", "5", "--epochs", "9", "--grace-period", "5",
                    "--set", "batch_size=4", "--name", name, start_new_session=True)  # fmt: skip

    def kept() -> dict[int, list[float]]:
        """The seconds of the epochs that running trials would not train again."""
        found = {}
        for trial in journal(storage, name):
            checkpoint = storage / name / "checkpoints" / f"trial-{trial.number:04d}.pt"
            if trial.state.name == "RUNNING":
                with suppress(FileNotFoundError):
                    found[trial.number] = [m["epoch_seconds"] for m in load(checkpoint)["history"]]
        return found

    def in_the_middle() -> bool:
        past_the_rung = any(5 <= len(seconds) < 9 for seconds in kept().values())
        return past_the_rung and any(t.state.is_finished() for t in journal(storage, name))

    wait_for(in_the_middle)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before, cut = journal(storage, name), kept()
    finish(start(storage, "--resume", name))
    return Resumed(storage, before, cut)
