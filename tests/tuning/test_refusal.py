"""Why a Ray does not start or cannot be joined: told apart, each with a remedy of its own."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kd.errors import UserError
from tuning.engine import runtime
from tuning.engine.refusal import not_joined, not_started

SLOW = "The current node timed out during startup. This could happen because some of the raylet"


def raised(action: Exception | Callable[[], object]) -> Exception:
    """What the operating system, or Ray itself, says when it is asked for what cannot be."""
    if isinstance(action, Exception):
        return action
    with pytest.raises(Exception) as error:  # noqa: PT011
        action()
    return error.value


def too_long() -> None:
    from ray._private.utils import validate_socket_filepath

    validate_socket_filepath("/" + "x" * 120)


def in_use() -> None:
    with socket.socket() as taken, socket.socket() as other:
        taken.bind(("127.0.0.1", 0))
        other.bind(taken.getsockname())


@pytest.mark.parametrize(
    ("error", "log", "what", "remedy"),
    [
        (too_long, "", "too long", "TMPDIR to a short one"),
        (in_use, "", "a port", "unset"),
        (lambda: os.listdir("/gone"), "", "No such file", "ray start"),
        (OSError(28, "No space left on device"), "", "no room left", "make room in"),
        (Exception(SLOW), "boost: No space left on device: '/dev/shm'", "no room left", "/dev/shm"),
        (PermissionError(13, "Permission denied", "/x"), "", "may not write", "a folder of yours"),
        (Exception(SLOW), "Check failed: Address already in use", "a port", "unset"),
        (RuntimeError("can't start new thread"), "", "so many processes", "ulimit -u"),
        (Exception(SLOW), "", "too busy", "end other work"),
        (Exception(SLOW), "Timed out waiting for file x", "too busy", "end other work"),
        (ValueError(""), "", "no reason", "ray start"),
        (ValueError("odd\n" * 999), "", ": odd", "ray start"),
    ],
)
def test_causes_are_told_apart(
    error: Exception | Callable[[], object], log: str, what: str, remedy: str, tmp_path: Path
) -> None:
    logs = tmp_path / "session_2030" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.err").write_text(log)
    sentence = str(not_started(raised(error), tmp_path))
    assert sentence.startswith("Could not start Ray: ")
    assert what in sentence.partition(";")[0]
    assert remedy in sentence.partition(";")[2]
    assert "\n" not in sentence
    assert len(sentence) < 400


def version() -> None:
    from ray._private.utils import check_version_info

    check_version_info({"ray_version": "2.1.0", "python_version": "3.9.1"}, "here")


def refused() -> None:
    from ray.exceptions import AuthenticationError

    raise AuthenticationError("InvalidAuthToken: Authentication token is missing or incorrect")


@pytest.mark.parametrize(
    ("error", "what", "remedy"),
    [
        (
            version,
            "it is Ray 2.1.0 with Python 3.9.1, and here is",
            "pip install ray==2.1.0",
        ),
        (refused, "refuses the token", "RAY_AUTH_TOKEN"),
        (ConnectionError("Could not connect"), "no Ray answers", "--local"),
        (RuntimeError("odd http://kd:secret@host"), "odd http://***@host", "--local"),
    ],
)
def test_what_keeps_from_joining_is_told_apart(
    error: Exception | Callable[[], object], what: str, remedy: str
) -> None:
    sentence = str(not_joined(raised(error), "http://kd:secret@host"))
    assert sentence.startswith("Could not reach the Ray at http://***@host: ")
    assert what in sentence
    assert remedy in sentence
    assert "\n" not in sentence
    assert "secret" not in sentence


def test_a_long_or_closed_folder_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folder_for(path: Path) -> Path:
        monkeypatch.setenv("TMPDIR", str(path))
        monkeypatch.setattr(tempfile, "tempdir", None)
        return runtime.short_folder()

    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    long = tmp_path / ("x" * 120)
    long.mkdir()
    assert folder_for(long) == Path("/tmp")
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        assert folder_for(Path(short)) == Path(short)
        monkeypatch.setenv("RAY_TMPDIR", short)
        assert folder_for(long) == Path(short)
        monkeypatch.setenv("RAY_TMPDIR", f"{short}/gone")
        assert folder_for(long) == Path("/tmp")
    monkeypatch.setattr(runtime, "ROOM", 2**80)
    with pytest.raises(UserError, match=r"is too long, /tmp is full.*set TMPDIR") as error:
        folder_for(long)
    assert "x" * 60 not in str(error.value)


def test_an_address_that_means_here_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would start one that everybody reaches."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    for address in ("local", ""):
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert runtime.gpus_at_hand() == 2


def test_a_ray_is_ended_though_its_end_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    calls: list[str] = []

    def shutdown() -> None:
        calls.append("shutdown")
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "shutdown", shutdown)
    monkeypatch.setattr(runtime, "_start", lambda folder: None)
    monkeypatch.setattr(runtime, "_nodes", list)
    with pytest.raises(KeyboardInterrupt), runtime.connected():
        pass
    assert len(calls) == 2, "half ended, Ray would make its folder again"


def test_a_python_whose_path_a_shell_would_take_apart_is_told_before_ray_starts(tmp_path):
    """Ray would start its workers again and again, and say nothing."""
    (tmp_path / "an env").symlink_to(sys.prefix)
    python = tmp_path / "an env" / "bin" / "python"
    words = ["ce", "--preset", "laptop", "--local", "--trials", "1", "--storage", str(tmp_path)]
    done = subprocess.run(
        [python, "-m", "tuning.search", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"This Python is {python}, and Ray starts no worker by a path with ' '" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["an env"]
