"""What a cluster may grow to: a sweep is planned for that, since trials are what it grows for."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kd.errors import UserError

_CONFIG = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves the cluster's file, resolved, on its head."""
_FIRST_WORKER = 600.0
"""Seconds that the first machine of a new cluster may take."""


def machines(now: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """What each machine holds when the cluster has all the workers that its file allows.

    `now` is what its machines hold at the moment, and all there is to know without an
    autoscaler. Where the file does not say what a worker holds (machines of one's own), the
    first one that joins shows it.
    """
    path = _CONFIG.expanduser()
    if not path.is_file():
        return list(now)
    config = json.loads(path.read_text())
    most: int = config["max_workers"]
    planned: list[Mapping[str, float]] = []
    for kind in config["available_node_types"].values():
        if count := min(kind.get("max_workers", 0), most):
            planned += [kind["resources"] or _first_worker()] * count
    return planned[:most]


def _first_worker() -> Mapping[str, float]:
    import ray

    end = time.monotonic() + _FIRST_WORKER
    said = False
    while time.monotonic() < end:
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            if node["Alive"] and node["Resources"].get("CPU"):
                resources: Mapping[str, float] = node["Resources"]
                return resources
        if not said:
            print("Waiting for the first worker machine.", flush=True)
        said = True
        time.sleep(1.0)
    raise UserError(
        f"No worker machine joined in {_FIRST_WORKER / 60:g} minutes; `ray monitor FILE` says why."
    )
