"""What this project starts ends with the command that started it, however that ends."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from mlflow_store import empty_store, free_port
from processes import alive, doors, family, soon, words

from tuning.storage.lifeline import lifeline
from tuning.tracking.store import Store

ROOT = Path(__file__).parents[2]
SHORT = ["--epochs", "2000", "--trials", "50", "--scheduler", "none"]

DRIVER = """
import subprocess, sys, time
from tuning.storage.lifeline import lifeline

CHILD = '''
import os, sys, time
if os.fork(): sys.exit()
os.setsid()
print(os.getpid(), flush=True)
time.sleep(600)
'''
with lifeline() as folder:
    with (folder / "child.log").open("w") as log:
        subprocess.run([sys.executable, "-c", CHILD], stdout=log, check=True)
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_who_has_left_the_family_ends_too(number: signal.Signals) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert driver.stdout
    folder = Path(driver.stdout.readline().strip())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert soon(lambda: bool((folder / "child.log").read_text()))
    child = int((folder / "child.log").read_text())
    assert alive(child)
    driver.send_signal(number)
    driver.communicate()
    assert soon(lambda: not alive(child) and not folder.exists())


def test_a_reader_and_the_driver_itself_are_spared(tmp_path: Path) -> None:
    with lifeline(tmp_path) as folder, (folder / "log").open("w") as own:
        own.write("still open")
        reader = subprocess.Popen(["sleep", "600"], stdin=(folder / "log").open())
        writer = subprocess.Popen(["sleep", "600"], stdout=(folder / "log").open("a"))
    try:
        assert writer.wait(timeout=60) == -signal.SIGKILL
        assert reader.poll() is None
        assert not any(tmp_path.iterdir())
    finally:
        reader.kill()
        reader.wait()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_mlflows_server_ends_with_its_command(number: signal.Signals, tmp_path: Path) -> None:
    empty_store(tmp_path)
    port = free_port()
    with command("tuning.ui", "--storage", str(tmp_path), "--port", str(port)) as process:
        assert process.stdout
        assert process.stdout.readline().startswith(f"http://127.0.0.1:{port}")
        started = family(process.pid)
        assert any("mlflow" in words(number) for number in started)
        process.send_signal(number)
        process.wait(timeout=60)
        assert soon(lambda: not any(map(alive, started)))
    assert Store.at(tmp_path).connect()


@contextmanager
def command(module: str, *flags: str, **environment: str) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        [sys.executable, "-m", module, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={n: v for n, v in os.environ.items() if not n.startswith("RAY_")} | environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# -- a sweep's Ray ----------------------------------------------------------------------------

JOIN = """
import os, sys
import ray

ray.init(address=sys.argv[1], log_to_driver=False)
print(ray.get(ray.remote(os.getpid).remote()))
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_sweeps_ray_is_its_own(workers: str, tmp_path: Path) -> None:
    """Under a folder for temporary files that is too long; on the loopback; ended with it."""
    long = tmp_path / ("scratch-" * 15)
    long.mkdir()
    asked = ["lsskd", "--local", "--storage", str(tmp_path), "--name", "own", *SHORT]
    asked += ["--workers-per-trial", workers]
    with command("tuning.search", *asked, TMPDIR=str(long)) as process:
        study = tmp_path / "own" / "study.log"
        begun = lambda: study.exists() and "epoch" in study.read_text()  # noqa: E731
        assert soon(lambda: begun() or process.poll() is not None, 180)
        assert process.poll() is None, process.stdout and process.stdout.read()
        ours = family(process.pid)
        listening = doors(ours)
        assert len(listening) > 3
        assert all(address.is_loopback for address, _ in listening), listening
        ((port, head),) = [
            (port, number)
            for (_, port), number in listening.items()
            if words(number)[0].endswith("gcs_server")
        ]
        logs = next(word for word in words(head) if word.startswith("--log_dir="))
        folder = Path(logs.partition("=")[2]).parents[2]
        assert folder.stat().st_mode & 0o777 == 0o700
        # Python's own look whether it may write there lasts a moment, in each new process.
        assert soon(lambda: not any(long.iterdir()))
        assert workers == "2" or not joined(port, tmp_path)
        assert not any(takes_jobs(door) for _, door in listening)

        process.kill()
        process.wait(timeout=60)
        assert soon(lambda: not any(map(alive, ours)))
        assert soon(lambda: not folder.exists())


def takes_jobs(port: int) -> bool:
    """Whether it runs a command for whoever asks by HTTP, as Ray's agents do."""
    job = json.dumps({"entrypoint": "true"}).encode()
    address = f"http://127.0.0.1:{port}/api/job_agent/jobs/"
    asked = urllib.request.Request(address, job, {"Content-Type": "application/json"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError, HTTPException), direct.open(asked, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def joined(port: int, home: Path) -> bool:
    """Whether a process without the token runs a task there, over whatever address."""
    modes = ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64})
    closed = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "HOME": str(home)}
    tries = [
        subprocess.Popen(
            [sys.executable, "-c", JOIN, f"127.0.0.1:{port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | mode | local,
        )
        for mode in modes
        # Without it Ray goes by this machine's own address.
        for local in ({}, closed)
    ]
    said = []
    until = time.monotonic() + 25
    for attempt in tries:
        with suppress(subprocess.TimeoutExpired):
            attempt.wait(timeout=max(until - time.monotonic(), 0.1))
        attempt.kill()
        said.append(attempt.communicate()[0].strip())
    return any(said)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_comes_while_a_sweep_starts_ends_it(number: signal.Signals, tmp_path: Path) -> None:
    asked = ["ce", "--local", "--storage", str(tmp_path), "--name", "soon", *SHORT]
    with command("tuning.search", *asked, PYTHONUNBUFFERED="1") as process:
        assert process.stdout
        assert any("soon: 50 trials" in line for line in process.stdout)
        ours = family(process.pid)
        process.send_signal(number)
        assert process.stdout.read().endswith("Stopped before it began.\n")
        assert process.wait(timeout=60) == 130
    assert not (tmp_path / "soon").exists()
    assert soon(lambda: not any(map(alive, ours)))
