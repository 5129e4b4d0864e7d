"""NVIDIA's Multi-Process Service: trials that share a GPU compute on it side by side.

Without it processes take turns on a GPU, and small networks gain nothing by sharing one. Its
daemon needs no rights and changes no setting of the card: it listens in a folder, which CUDA looks
for in the environment of every process. NVIDIA's documentation of MPS is the source of what is
said here (docs.nvidia.com/deploy/mps).
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from kd.screen import warn
from kd.text import visible

CONTROL = "nvidia-cuda-mps-control"
PIPE, LOG = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
USUAL = Path("/tmp/nvidia-mps")
"""Where a daemon listens that was told no other place."""
NOWHERE = "/nowhere"
"""A folder where none listens, for processes that are to compute without."""
PATIENCE = 10.0
"""Seconds in which a daemon, or a command to one, must have answered."""
PAUSE = 0.05
CLIENT = """
import ctypes, sys
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError:
    sys.exit()
device, context = ctypes.c_int(), ctypes.c_void_p()
print(
    cuda.cuInit(0)
    or cuda.cuDeviceGet(ctypes.byref(device), 0)
    or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
)
"""
"""A program that uses a GPU for a moment, and prints the number of the error, or 0."""
TURNS = "trials that share a GPU take turns"


class Mps:
    """MPS for the processes that are started while `serving`.

    Wanted (True), a daemon that runs already is used and left alone, and where none runs one of
    our own is started, in the background; `settle` waits for it, and says in one line why there
    is none. Unwanted (False), processes compute without one, whatever runs. None leaves it to
    what runs.

    Args:
        folder: of a lifeline, which ends a daemon of our own when this process is killed.
        wanted: as above.
    """

    def __init__(self, folder: Path, wanted: bool | None) -> None:
        self._folder = folder / "m"
        self._pipe = self._folder / "pipe"
        self._wanted = wanted
        self._why: str | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        self._starting = Thread(target=self._start, name="mps", daemon=True)

    @contextmanager
    def serving(self) -> Iterator["Mps"]:
        """Within, what this process starts finds the MPS that is meant for it, or none."""
        servers = None if self._wanted is None else servers_of(place())
        others = _strangers(servers or [])
        fine = servers is None if not self._wanted else servers is not None and not others
        if self._wanted is None or fine:
            yield self
            return
        # Who finds no daemon in the folder that is named computes without one.
        with _named(self._pipe):
            if others and self._wanted:
                self._why = "another user's MPS is at work on this machine"
            elif self._wanted:
                self._starting.start()
            try:
                yield self
            finally:
                if self._starting.ident is not None:
                    self._starting.join()
                self._end()

    def settle(self) -> None:
        """Wait until it is there, or say why it is not."""
        if self._starting.ident is not None:
            self._starting.join()
        if self._why is not None:
            warn(f"MPS is not used: {self._why}; {TURNS}.")

    # -- a daemon of our own ----------------------------------------------------------------------

    def _start(self) -> None:
        """Start the daemon and its server; what is wrong is kept in words."""
        self._why = _unsuitable()
        if self._why is None:
            try:
                self._why = self._started()
            except OSError as error:
                self._why = f"it does not start ({error.strerror or error})"
        if self._why is not None:
            self._end()

    def _started(self) -> str | None:
        """Why it does not start, if it does not."""
        log = self._folder / "log"
        for path in (self._pipe, log):
            path.mkdir(parents=True)
        environment = {**os.environ, PIPE: str(self._pipe), LOG: str(log)}
        if not environment.get("CUDA_VISIBLE_DEVICES", "GPU-").startswith("GPU-"):
            # It would count the GPUs that it sees anew, and trials name them as this machine does.
            del environment["CUDA_VISIBLE_DEVICES"]
        # What it prints goes into the lifeline's folder, by which it is found when this process
        # is killed. Ctrl-C is not for it: trials need it to their end.
        with (log / "daemon.log").open("wb") as said:
            self._daemon = subprocess.Popen(
                [CONTROL, "-f"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        until, asked = time.monotonic() + PATIENCE, False
        while (left := until - time.monotonic()) > 0 and self._daemon.poll() is None:
            servers = servers_of(self._pipe, left)
            if servers:
                return _unusable(self._pipe)
            if servers is not None and not asked:
                # The first trial would start it, and fail if it does not come.
                _told(f"start_server -uid {os.getuid()}", self._pipe, left)
                asked = True
            time.sleep(PAUSE)
        why = "it does not start"
        if self._daemon.poll() is None:
            why = f"it does not answer within {PATIENCE:g} seconds"
        said_last = (log / "daemon.log").read_text(errors="replace").strip().splitlines()[-1:]
        return why + "".join(f" ({visible(line)[:200]})" for line in said_last)

    def _end(self) -> None:
        """End our own daemon, if there is one; what is left of it the lifeline ends."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            if daemon.poll() is None:
                _told("quit", self._pipe, PATIENCE / 2)
                with suppress(subprocess.TimeoutExpired):
                    daemon.wait(PATIENCE / 2)
            daemon.kill()
            daemon.wait()


@contextmanager
def _named(pipe: Path) -> Iterator[None]:
    """Within, CUDA looks for a daemon in the folder `pipe`."""
    before = os.environ.get(PIPE)
    os.environ[PIPE] = str(pipe)
    try:
        yield
    finally:
        os.environ.pop(PIPE)
        if before is not None:
            os.environ[PIPE] = before


def place() -> Path:
    """Where CUDA would look for a daemon in this process."""
    return Path(os.environ.get(PIPE) or USUAL)


def servers_of(pipe: Path, patience: float | None = None) -> list[int] | None:
    """The processes that serve for the daemon that listens in `pipe`; None where none does."""
    if not (pipe / "control").exists():
        return None
    said = _told("get_server_list", pipe, PATIENCE if patience is None else patience)
    if said is None:
        return None
    return [int(word) for word in said.split() if word.isdigit()]


def available() -> bool:
    """Whether this machine has the program that starts it."""
    return shutil.which(CONTROL) is not None


def _told(command: str, pipe: Path, patience: float) -> str | None:
    """What the daemon answers to the command; None where none answers in time."""
    try:
        done = subprocess.run(
            [CONTROL],
            input=f"{command}\n",
            env={**os.environ, PIPE: str(pipe)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=max(patience, PAUSE),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    refused = done.returncode or "Cannot find MPS control daemon" in done.stdout
    return None if refused else done.stdout


def _strangers(servers: Sequence[int]) -> bool:
    """Whether one of the processes is another user's; a daemon serves one user at a time."""
    return any(_owner(number) not in (None, os.getuid()) for number in servers)


def _owner(number: int) -> int | None:
    with suppress(OSError):
        return os.stat(f"/proc/{number}").st_uid
    return None


def _unusable(pipe: Path) -> str | None:
    """Why processes cannot compute by the daemon that listens in `pipe`, if they cannot."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", CLIENT],
            env={**os.environ, PIPE: str(pipe)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return "a process that was to compute by it waits for ever"
    code = done.stdout.strip() or "0"
    return None if code == "0" else f"a process cannot compute by it (CUDA's error {code})"


def _unsuitable() -> str | None:
    """Why a daemon of our own would do no good on this machine's GPUs, if it would not."""
    if any(line.strip() == "Enabled" for line in nvidia_smi("--query-gpu=mig.mode.current")):
        return "a GPU is divided (MIG)"
    users = nvidia_smi("--query-compute-apps=pid")
    numbers = [int(word) for word in users if word.strip().isdigit()]
    if _strangers(numbers):
        return "another user works on this machine's GPUs"
    return None


def nvidia_smi(*query: str) -> list[str]:
    """What nvidia-smi answers, line by line; nothing where it is not there."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["nvidia-smi", *query, "--format=csv,noheader"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
        )
        return done.stdout.splitlines() if done.returncode == 0 else []
    return []
