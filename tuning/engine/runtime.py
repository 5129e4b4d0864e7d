"""The Ray that a sweep runs on: a cluster's, or one of its own."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kd.errors import UserError
from tuning.engine.growth import machines
from tuning.engine.share import Node

OBJECT_STORE = 512 * 2**20
"""Bytes that a Ray of our own may map for the images; a cluster has its own limit."""

_QUIET = {
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

_ROOT = str(Path(__file__).absolute().parents[2])
"""Where this project's packages are."""


class _OwnFolder(list[str]):
    """Where workers look for Python modules first.

    Ray adds the folder where the command was typed, and a kd.py that lies there would be taken.
    """

    def extend(self, folders: Iterable[str]) -> None:
        """Nothing."""


@contextmanager
def connected(address: str | None = None) -> Iterator[list[Node]]:
    """Join the Ray of RAY_ADDRESS, or start one for this sweep alone; yields its machines.

    Of a cluster that grows with its trials, those that it may grow to.

    A Ray of our own listens on the loopback interface only and ends with the sweep, so it
    needs no authentication token, and none is written into the home folder.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _QUIET.items()})
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray
    from ray.job_config import JobConfig

    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        if address is None:
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=OBJECT_STORE,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address="127.0.0.1",
                job_config=JobConfig(_py_driver_sys_path=_OwnFolder([_ROOT])),
            )
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # a bare one, too, where a busy machine starts it too slowly
        reason = str(error).splitlines()[0].rstrip(".")
        if address:
            raise UserError(f"Could not reach the Ray at {address}: {reason}.") from None
        raise UserError(f"Could not start Ray: {reason}; try again.") from None
    try:
        now = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        yield now if address is None else machines(now)
    finally:
        ray.shutdown()


def gpus_at_hand() -> float:
    """The GPUs that a sweep started now could use, on this machine or on RAY_ADDRESS's cluster."""
    if "RAY_ADDRESS" not in os.environ:
        return _local_gpus()
    with connected() as nodes:
        return sum(node.get("GPU", 0.0) for node in nodes)


def _local_gpus() -> int:
    """How many NVIDIA GPUs this machine shows, found without importing torch or Ray."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([v for v in visible.split(",") if v.strip() not in ("", "-1")])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
