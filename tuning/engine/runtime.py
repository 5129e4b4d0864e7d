"""The Ray that a sweep runs on, and what one trial gets of it."""

import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from kd.errors import UserError
from tuning.engine.growth import machines
from tuning.records.presets import local_gpus

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


Node = Mapping[str, float]
"""What one machine of the cluster has: CPU, GPU and other resources by Ray's names."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one trial holds, on all its workers together, and how many trials run at once."""

    cpus: int
    gpus: float
    slots: int
    workers: int = 1

    @property
    def per_worker(self) -> dict[str, float]:
        """What each worker of a trial holds, by Ray's names."""
        return _worker(self.cpus, self.gpus, self.workers)

    def on_whole_gpus(self) -> "Share":
        """The share of a trial that a part of a GPU is too small for."""
        return replace(self, gpus=1.0, slots=max(1, round(self.slots * self.gpus)))


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
        return local_gpus()
    with connected() as nodes:
        return sum(node.get("GPU", 0.0) for node in nodes)


def share(nodes: Sequence[Node], cpus: int | None, gpus: float | None, workers: int = 1) -> Share:
    """What each trial gets of `nodes`; UserError if none has room for a trial.

    Where there are GPUs a trial holds one for every worker, and an equal share of its machine's
    cores; where there are none it holds one core for every worker. A worker has its resources
    on one machine, and a whole number of GPUs if it is not the trial's only one.
    """
    all_gpus = sum(node.get("GPU", 0.0) for node in nodes)
    gpus = (float(workers) if all_gpus else 0.0) if gpus is None else gpus
    if gpus > all_gpus:
        raise UserError(
            f"--gpus-per-trial is {gpus:g}, but the cluster has {all_gpus:g}; ask for less."
        )
    if gpus != int(gpus) and (gpus > 1 or workers > 1):
        whole = math.ceil(gpus / workers) * workers
        raise UserError(
            f"--gpus-per-trial is {gpus:g}; give a whole number, for example {whole}, or a part of "
            "one GPU to one worker."
        )
    for flag, value in (("gpus", gpus), ("cpus", cpus or 0)):
        if value % workers and workers > 1:
            raise UserError(
                f"--{flag}-per-trial is {value:g}, which {workers} workers cannot share equally; "
                f"give {math.ceil(value / workers) * workers}."
            )
    if cpus is None:
        cpus = workers * _cores(nodes, gpus / workers)
    places = sum(_room(node, _worker(cpus, gpus, workers)) for node in nodes)
    if places < workers:
        most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
        flags = f"--cpus-per-trial is {cpus}"
        flags += f", --gpus-per-trial {gpus:g}" if gpus else ""
        flags += f", --workers-per-trial {workers}" if workers > 1 else ""
        raise UserError(
            f"{flags}, but the machines here have room for {places} of {workers} such "
            f"worker{'s' * (workers > 1)}, and {most} cores at most; ask for less."
        )
    return Share(cpus=cpus, gpus=gpus, slots=places // workers, workers=workers)


def _cores(nodes: Sequence[Node], gpus: float) -> int:
    """The cores that go with `gpus` on every machine that has them; 1 without GPUs."""
    if not gpus:
        return 1
    shares = [
        int(node.get("CPU", 0)) // places
        for node in nodes
        if (places := _room(node, {"GPU": gpus})) > 0
    ]
    return max(1, min(shares, default=1))


def _worker(cpus: int, gpus: float, workers: int) -> dict[str, float]:
    held = {"CPU": cpus // workers, "GPU": gpus / workers}
    return {name: value for name, value in held.items() if value}


def _room(node: Node, worker: Mapping[str, float]) -> int:
    """How many such workers fit on the machine; a part of a GPU lies on one GPU."""
    places = []
    for name, value in worker.items():
        have = node.get(name, 0.0)
        packed = name == "GPU" and value < 1
        places.append(int(have) * int(1 / value + 1e-9) if packed else int(have / value))
    return min(places)
