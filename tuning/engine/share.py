"""What one trial gets of a cluster, and how many trials run on it at once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kd.errors import UserError

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


def share(nodes: Sequence[Node], cpus: int | None, gpus: float | None, workers: int = 1) -> Share:
    """What each trial gets of `nodes`; UserError if none has room for a trial.

    Where there are GPUs a trial holds one for every worker, and an equal share of its machine's
    cores; where there are none it holds one core for every worker. A worker has its resources
    on one machine, and a whole number of GPUs if it is not the trial's only one.
    """
    all_gpus = sum(node.get("GPU", 0.0) for node in nodes)
    gpus = (float(workers) if all_gpus else 0.0) if gpus is None else gpus
    if gpus and not all_gpus:
        raise UserError(f"--gpus-per-trial is {gpus:g}, but there is no GPU; leave it away.")
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
