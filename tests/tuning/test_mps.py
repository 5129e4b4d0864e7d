"""MPS for the trials of a sweep: a daemon of its own, another one's, or none; never one left over.

There is no GPU here. A program that answers as NVIDIA's does stands on PATH in its place
(`mps_daemon.py`), and the processes are real.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from processes import alive, soon, words

from tuning.engine import mps
from tuning.engine.mps import CONTROL, LOG, PIPE, Mps, servers_of
from tuning.storage.lifeline import lifeline

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("mps_daemon.py")


LIBRARY = """
#include <stdlib.h>
#include <unistd.h>
int cuInit(unsigned flags) {
    const char *error = getenv("MPS_STAND_IN_ERROR");
    if (error && atoi(error) < 0) sleep(600);
    return error ? atoi(error) : 0;
}
int cuDeviceGet(int *device, int ordinal) { return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { return 0; }
"""
"""What stands for the driver's library: MPS_STAND_IN_ERROR is what it answers; below 0, nothing."""


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="There is no C compiler here.")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the programs that are found first, with the stand-in in it."""
    folder = tmp_path / "bin of mine"
    folder.mkdir()
    script = f"#!{sys.executable} -IS\n" + STAND_IN.read_text()
    executable(folder / CONTROL, script)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv(PIPE, raising=False)
    library = tmp_path / "lib"
    library.mkdir()
    source = tmp_path / "cuda.c"
    source.write_text(LIBRARY)
    built = ["cc", "-shared", "-fPIC", "-o", str(library / "libcuda.so.1"), str(source)]
    subprocess.run(built, check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library))
    # Whatever runs on this machine is not asked.
    monkeypatch.setattr(mps, "USUAL", tmp_path / "usual")
    return folder


@pytest.fixture
def running(programs: Path, tmp_path: Path) -> Iterator[Path]:
    """The folder of a daemon that somebody else started; ended at the end."""
    pipe = tmp_path / "usual"
    environment = {**os.environ, PIPE: str(pipe)}
    subprocess.run([CONTROL, "-d"], env=environment, check=True)
    assert soon(lambda: servers_of(pipe) == [])
    yield pipe
    subprocess.run([CONTROL], env=environment, input="quit\n", text=True, check=True)


def daemons(folder: Path) -> set[int]:
    """The processes that run the stand-in out of `folder`."""
    return running_from(folder / CONTROL)


def running_from(program: Path) -> set[int]:
    numbers = {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}
    return {n for n in numbers if str(program) in words(n)[:3] and alive(n)}


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


# Short, as the address of a socket has some hundred characters at most.
@pytest.mark.parametrize("name", ["s", "a b"])
def test_our_own(name, programs, tmp_path, capsys):
    (tmp_path / name).mkdir()
    with lifeline(tmp_path / name) as folder:
        with Mps(folder, True).serving() as own:
            own.settle()
            pipe = Path(os.environ[PIPE])
            assert pipe.is_relative_to(folder)
            assert len(os.fsencode(pipe / "control_privileged")) - len(str(tmp_path)) < 60
            (server,) = servers_of(pipe) or []
            assert alive(server)
            (daemon,) = daemons(programs)
            assert os.getsid(daemon) == daemon, "Ctrl-C of the terminal is not for it"
        assert soon(lambda: not alive(server) and not daemons(programs))
    assert PIPE not in os.environ
    assert said(capsys) == "", "what works is not worth a line"


def test_it_sees_the_gpus_as_trials_name_them(programs, tmp_path, monkeypatch):
    """Trials say CUDA_VISIBLE_DEVICES=2; a daemon under that would call this GPU 0."""
    for given, kept in (("2,3", None), ("GPU-4f1b,GPU-77aa", "GPU-4f1b,GPU-77aa")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        with lifeline(tmp_path) as folder, Mps(folder, True).serving() as own:
            own.settle()
            (daemon,) = daemons(programs)
            variables = dict(
                line.partition("=")[::2]
                for line in Path(f"/proc/{daemon}/environ").read_text().split("\0")
            )
            assert variables.get("CUDA_VISIBLE_DEVICES") == kept
            assert Path(variables[LOG]).is_relative_to(folder)
            assert os.environ["CUDA_VISIBLE_DEVICES"] == given


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("fails", "it does not start (No CUDA-capable device is there)"),
        ("hangs", "it does not answer within 1 seconds (Starting control daemon using socket"),
        ("serverless", "it does not answer within 1 seconds"),
    ],
)
def test_one_that_does_not_come_is_a_line_and_leaves_nothing(
    fault, sentence, programs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MPS_STAND_IN", fault)
    monkeypatch.setattr(mps, "PATIENCE", 1.0)
    with lifeline(tmp_path) as folder, Mps(folder, True).serving() as own:
        own.settle()
        assert not daemons(programs)
        assert servers_of(Path(os.environ[PIPE])) is None
        line = said(capsys)
    assert line.startswith(f"MPS is not used: {sentence}")
    assert line.endswith("; trials that share a GPU take turns.\n")
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (805, "a process cannot compute by it (CUDA's error 805)"),
        (-1, "a process that was to compute by it waits for ever"),
    ],
)
def test_one_that_serves_no_process_is_a_line_and_leaves_nothing(
    error, sentence, programs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MPS_STAND_IN_ERROR", str(error))
    monkeypatch.setattr(mps, "PATIENCE", 2.0)
    with lifeline(tmp_path) as folder, Mps(folder, True).serving() as own:
        own.settle()
        assert not daemons(programs)
    assert said(capsys) == f"MPS is not used: {sentence}; trials that share a GPU take turns.\n"


def test_a_program_that_cannot_be_run_is_a_line(programs, tmp_path, capsys):
    executable(programs / CONTROL, "#!/nowhere\n")
    with lifeline(tmp_path) as folder, Mps(folder, True).serving() as own:
        own.settle()
    assert "MPS is not used: it does not start (No such file or directory)" in said(capsys)


def test_one_that_runs_is_used_and_left_alone(running, programs, tmp_path, monkeypatch, capsys):
    before = daemons(programs)
    assert len(before) == 1
    for wanted in (True, None):
        with lifeline(tmp_path) as folder, Mps(folder, wanted).serving() as found:
            found.settle()
            assert PIPE not in os.environ
            assert mps.place() == running
            assert daemons(programs) == before
    monkeypatch.setenv(PIPE, str(running))
    with lifeline(tmp_path) as folder, Mps(folder, True).serving():
        assert os.environ[PIPE] == str(running)
    assert daemons(programs) == before
    assert servers_of(running) == []
    assert said(capsys) == ""


def test_unwanted_it_is_gone_round(running, programs, tmp_path, capsys):
    with lifeline(tmp_path) as folder, Mps(folder, False).serving() as none:
        none.settle()
        assert servers_of(mps.place()) is None
        assert servers_of(running) == []
    assert PIPE not in os.environ
    assert said(capsys) == ""


def test_one_that_serves_another_user_is_gone_round(
    running, programs, tmp_path, monkeypatch, capsys
):
    """A daemon serves one user after the other: our trials would wait for theirs."""
    subprocess.run(
        [CONTROL],
        env={**os.environ, PIPE: str(running)},
        input="start_server -uid 1\n",
        text=True,
        check=True,
    )
    assert servers_of(running)
    monkeypatch.setattr(mps, "_owner", lambda number: os.getuid() + 1)
    with lifeline(tmp_path) as folder, Mps(folder, True).serving() as none:
        none.settle()
        assert servers_of(mps.place()) is None
    assert "another user's MPS is at work" in said(capsys)
    assert servers_of(running)


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ("case $1 in *mig*) echo '[N/A]'; echo Enabled;; esac", "a GPU is divided (MIG)"),
        ("case $1 in *apps*) echo 1;; esac", "another user works on this machine's GPUs"),
        ("case $1 in *mig*) echo Disabled;; *apps*) echo $$;; esac", None),
        ("echo 'NVIDIA-SMI has failed'; exit 9", None),
    ],
)
def test_what_the_machine_says_of_its_gpus(
    answers, sentence, programs, tmp_path, monkeypatch, capsys
):
    executable(programs / "nvidia-smi", f"#!/bin/sh\n{answers}\n")
    monkeypatch.setattr(mps, "_owner", lambda number: None if number > 1 else os.getuid() + 1)
    with lifeline(tmp_path) as folder, Mps(folder, True).serving() as own:
        own.settle()
        assert bool(daemons(programs)) == (sentence is None)
    assert (f"MPS is not used: {sentence};" in said(capsys)) == (sentence is not None)


DRIVER = textwrap.dedent("""
    import os, sys, time
    from tuning.engine.mps import Mps, PIPE
    from tuning.storage.lifeline import lifeline

    with lifeline() as folder, Mps(folder, True).serving() as own:
        own.settle()
        print(folder, flush=True)
        time.sleep(600)
""")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_whatever_ends_the_driver_no_daemon_is_left(number, programs):
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert driver.stdout
    folder = Path(driver.stdout.readline().strip())
    (server,) = servers_of(folder / "m" / "pipe") or []
    started = daemons(programs)
    assert len(started) == 1
    driver.send_signal(number)
    driver.communicate()
    assert soon(lambda: not daemons(programs) and not alive(server) and not folder.exists())


COMPUTE = "import torch; print(torch.ones(1000, device='cuda').sum().item())"


@pytest.mark.skipif(
    not (torch.cuda.is_available() and mps.available()), reason="There is no GPU with MPS here."
)
def test_a_real_one_serves_a_process_that_computes(tmp_path, capsys):
    with lifeline(Path("/tmp")) as folder, Mps(folder, True).serving() as own:
        own.settle()
        assert said(capsys) == ""
        done = subprocess.run([sys.executable, "-c", COMPUTE], capture_output=True, text=True)
        assert done.stdout == "1000.0\n", done.stderr
        servers = servers_of(mps.place()) or []
        assert len(servers) == 1
    assert soon(lambda: not any(map(alive, servers)))


# -- a worker of a cluster ------------------------------------------------------------------------

WORKER = ROOT / "clusters" / "mps.sh"


@pytest.fixture
def worker(programs: Path, tmp_path: Path) -> Iterator[Path]:
    """A program that starts what stands for Ray, and keeps its number and what it was told."""
    raylet = programs / "raylet"
    shutil.copy(shutil.which("sleep") or "", raylet)
    told = tmp_path / "told"
    executable(
        programs / "ray",
        f"#!/bin/sh\n'{raylet}' 600 > /dev/null 2>&1 &\n"
        f'echo $! "$CUDA_MPS_PIPE_DIRECTORY" "$@" > \'{told}\'; exit 3\n',
    )
    executable(programs / "nvidia-smi", "#!/bin/sh\ncase $1 in *mig*) echo Disabled;; esac\n")
    yield told
    for number in daemons(programs) | running_from(raylet):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def start_worker() -> str:
    done = subprocess.run(
        ["sh", WORKER, "ray", "start", "--address=a b"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3, "what Ray says counts"
    return done.stdout


def test_a_worker_of_a_cluster_has_it_as_long_as_its_ray_runs(worker, programs):
    assert start_worker() == ""
    number, place, *words = worker.read_text().split()
    assert words == ["start", "--address=a", "b"]
    assert stat.S_IMODE(os.stat(place).st_mode) == 0o700
    (server,) = servers_of(Path(place)) or []
    assert len(daemons(programs)) == 1
    os.kill(int(number), signal.SIGKILL)
    assert soon(lambda: not daemons(programs) and not alive(server))
    assert soon(lambda: not Path(place).exists())


@pytest.mark.parametrize("fault", ["fails", "serverless"])
def test_a_worker_starts_without_it_too(fault, worker, programs, monkeypatch):
    monkeypatch.setenv("MPS_STAND_IN", fault)
    line = "MPS is not used: its daemon does not answer; trials that share a GPU take turns.\n"
    assert start_worker() == line
    assert worker.read_text().split()[1:] == ["start", "--address=a", "b"]
    assert soon(lambda: not daemons(programs))


def test_a_worker_whose_gpus_are_divided_or_gone_has_none(worker, programs):
    executable(programs / "nvidia-smi", "#!/bin/sh\ncase $1 in *mig*) echo Enabled;; esac\n")
    assert "a GPU is divided (MIG)" in start_worker()
    executable(programs / "nvidia-smi", "#!/bin/sh\nexit 9\n")
    assert start_worker() == ""
    assert not daemons(programs)


def test_a_worker_uses_one_that_runs(worker, running, programs, monkeypatch):
    monkeypatch.setenv(PIPE, str(running))
    before = daemons(programs)
    assert start_worker() == ""
    number, *words = worker.read_text().split()
    assert words[0] == str(running)
    os.kill(int(number), signal.SIGKILL)
    assert daemons(programs) == before


# -- a whole sweep --------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="Ray sees the GPU, and counts trials on it.")
def test_a_sweep_has_it_where_trials_share_gpus(programs, tmp_path):
    """The machine seems to have a GPU, which Ray does not see: trials run on the CPU."""
    seen = tmp_path / "seen"
    executable(
        programs / "nvidia-smi", f"#!/bin/sh\necho asked >> '{seen}'\nps ax >> '{seen}'\nexit 1\n"
    )
    storage = tmp_path / "runs"
    asked = [sys.executable, "-m", "tuning.search", "ce", "--preset", "laptop", "--local"]
    asked += ["--trials", "1", "--epochs", "1", "--grace-period", "1", "--storage", str(storage)]
    temporary = tmp_path / "t"
    temporary.mkdir()
    done = subprocess.run(
        asked,
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "0", "LD_LIBRARY_PATH": ""},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert seen.exists()
    assert "MPS is not used" not in done.stdout
    assert not daemons(programs)
    shutil.rmtree(storage)
