"""The Ray that a sweep runs on: a cluster's, or one of its own."""

import logging
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from kd.errors import UserError, brief
from kd.screen import warn
from kd.training.compiling import Compile, check_compiler
from tuning.engine.growth import machines
from tuning.engine.mps import NOWHERE, PIPE, Mps, available
from tuning.engine.refusal import BusyError, not_joined, not_started
from tuning.engine.share import Node
from tuning.storage.lifeline import lifeline

OBJECT_STORE = 512 * 2**20
"""Bytes that a Ray of our own may map for the images; a cluster has its own limit."""
ROOM = 128 * 2**20
"""Bytes that must be free where a Ray of our own writes its logs."""
ELSEWHERE = "RAY_ADDRESS"
"""Where the Ray is that is to be joined."""
OWN = "KD_OWN_RAY"
"""Set in the environment of all that runs on a Ray of our own."""
LONGEST = 29
"""Of the path of a folder for Ray's: the name of a socket in it has room for 107 bytes in all."""

QUIET = {
    # Nothing but this project writes results or prints about trials.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "1",
    # An interrupt ends the sweep here, where its state is known, and not inside Tune.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # A trial without a GPU must not see one.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
}

_SHELL = re.compile(r"[\s\"'\\$`&;|<>()*?\[\]{}!#]")
"""What a shell takes for its own in a path: Ray has one start its workers, and quotes nothing."""
_ROOT = str(Path(__file__).absolute().parents[2])
"""Where this project's packages are."""


class _OwnFolder(list[str]):
    """Where workers look for Python modules first.

    Ray adds the folder where the command was typed, and a kd.py that lies there would be taken.
    """

    def extend(self, folders: Iterable[str]) -> None:
        """Nothing."""


@contextmanager
def connected(address: str | None = None, *, mps: bool | None = None) -> Iterator[list[Node]]:
    """Join the Ray of RAY_ADDRESS, or start one for this sweep alone; yields its machines.

    Of a cluster that grows with its trials, those that it may grow to.

    A Ray of our own ends with this process, however that ends. It listens on the loopback
    interface only, and asks for a token that its own processes alone are told. `mps` says whether
    its processes share GPUs by MPS (see `Mps`); a cluster has started that, or has not, with its
    workers.

    Raises:
        UserError: it does not start, or cannot be joined, with the reason.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    if address := address or elsewhere():
        with _joined(address, mps) as now:
            yield machines(now)
        return
    with ExitStack() as opened:
        try:
            now = opened.enter_context(_own(mps))
        except BusyError:
            # What was started of it has ended by now.
            warn("Ray did not start in time, as this machine is busy; trying once more …")
            now = opened.enter_context(_own(mps))
        yield now


def elsewhere() -> str | None:
    """The RAY_ADDRESS of a Ray that runs; by `local`, Ray means one that it starts."""
    address = os.environ.get(ELSEWHERE)
    return None if address in ("", "local") else address


@contextmanager
def _joined(address: str, mps: bool | None) -> Iterator[list[Node]]:
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    apart = {"env_vars": {PIPE: NOWHERE}} if mps is False else None
    try:
        with _signals_left_alone():
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=apart,
            )
    except Exception as error:  # a bare one, too
        raise not_joined(error, address) from None
    try:
        yield _nodes()
    finally:
        _shut_down()


@contextmanager
def _own(mps: bool | None) -> Iterator[list[Node]]:
    logging.getLogger("ray").setLevel(logging.ERROR)
    wanted = None if mps and not (local_gpus() and available()) else mps
    with lifeline(short_folder()) as folder, _closed(), Mps(folder, wanted).serving() as shared:
        try:
            # Ray lets everybody into the folder that it is given; nobody comes through ours.
            _start(folder / "r")
            shared.settle()
            yield _nodes()
        finally:
            try:
                _shut_down()
            except KeyboardInterrupt:
                # Half ended, it would write into the folder once more when this process ends.
                _shut_down()
                raise


def _shut_down() -> None:
    """End Ray in this process, and hear SIGTERM as before: Ray leaves it to the system."""
    import ray

    try:
        ray.shutdown()
    finally:
        known = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is threading.main_thread() and known is not None:
            signal.signal(signal.SIGTERM, known)


def _nodes() -> list[Node]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


# -- a Ray of our own -----------------------------------------------------------------------------


def _start(folder: Path) -> None:
    import ray
    from ray.job_config import JobConfig

    try:
        with _signals_left_alone():
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=OBJECT_STORE,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(folder),
                job_config=JobConfig(_py_driver_sys_path=_OwnFolder([_ROOT])),
            )
    except Exception as error:  # a bare one, too, where a busy machine starts it too slowly
        raise not_started(error, folder) from None


@contextmanager
def _signals_left_alone() -> Iterator[None]:
    """Within, Ray does not set its own handler of SIGTERM, which would abort the process."""
    from ray._private import utils

    before, utils.set_sigterm_handler = utils.set_sigterm_handler, lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = before


@contextmanager
def _closed() -> Iterator[None]:
    """Within, Ray starts on the loopback interface, and asks for a token.

    Ray takes 127.0.0.1 for this machine's own address unless it may be no cluster, which is the
    default of other systems. The token is in no file: what is in the environment of a process,
    its own user alone can read.
    """
    from ray._private import ray_constants

    clusters, before = ray_constants.ENABLE_RAY_CLUSTER, dict(os.environ)
    os.environ |= {
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        OWN: "1",
    }
    ray_constants.ENABLE_RAY_CLUSTER = False
    _look_at_environment()
    try:
        yield
    finally:
        for name in (
            *(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"),
            OWN,
        ):
            os.environ.pop(name)
            if name in before:
                os.environ[name] = before[name]
        ray_constants.ENABLE_RAY_CLUSTER = clusters
        _look_at_environment()


def _look_at_environment() -> None:
    """Ray keeps what it has found there when it was first asked."""
    from ray import _raylet

    found: Any = _raylet
    found.Config.initialize("")
    found.AuthenticationTokenLoader.instance().reset_cache()


def short_folder() -> Path:
    """Where a Ray may make its folder: the path of a socket is short, and a log needs room."""
    tried: dict[str, str] = {}
    named = (os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")
    for text in filter(None, named):
        path = Path(text).resolve()
        if len(os.fsencode(path)) > LONGEST:
            tried[str(path)] = "too long"
        elif not os.access(path, os.W_OK | os.X_OK):
            tried[str(path)] = "not writable"
        elif shutil.disk_usage(path).free < ROOM:
            tried[str(path)] = "full"
        else:
            return path
    reasons = ", ".join(f"{path[:40]} is {why}" for path, why in tried.items())
    raise UserError(
        f"Could not start Ray: its sockets and logs need a folder with {ROOM >> 20} MiB of room, "
        f"but {reasons}; set TMPDIR to one with at most {LONGEST} characters."
    )


# -- without Ray ----------------------------------------------------------------------------------


def gpus_at_hand() -> float:
    """The GPUs that a sweep started now could use, on this machine or on RAY_ADDRESS's cluster."""
    if elsewhere() is None:
        return local_gpus()
    with connected() as nodes:
        return sum(node.get("GPU", 0.0) for node in nodes)


def check_here(compile: Compile) -> None:
    """Raise UserError where steps are always to be compiled and this machine cannot.

    And where Ray could start no worker here, which it would try for ever. What the machines of a
    RAY_ADDRESS can, only their trials know.
    """
    if elsewhere() is not None:
        return
    if found := _SHELL.search(sys.executable):
        raise UserError(
            f"This Python is {brief(sys.executable, 200)}, and Ray starts no worker by a path "
            f"with {found[0]!r} in it; make an environment in a folder whose path has none."
        )
    check_compiler(compile, gpu=bool(local_gpus()))


def this_machine() -> Node:
    """What a Ray of our own would have here."""
    return {"CPU": float(os.cpu_count() or 1), "GPU": float(local_gpus())}


def local_gpus() -> int:
    """How many NVIDIA GPUs this machine shows, found without importing torch or Ray."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([v for v in visible.split(",") if v.strip() not in ("", "-1")])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
