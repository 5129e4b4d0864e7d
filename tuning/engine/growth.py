"""What a cluster may grow to: a sweep is planned for that, since trials are what it grows for."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kd.errors import UserError

_CONFIG = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves the cluster's file, resolved, on its head."""
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where Kubernetes tells a pod the namespace that it is in."""
_FIRST_WORKER = 600.0
"""Seconds that the first machine of a new cluster may take."""


def machines(now: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """What each machine holds when the cluster has all the workers that its file allows.

    `now` is what its machines hold at the moment, and all there is to know without an
    autoscaler. Where the file does not say what a worker holds (machines of one's own), the
    first one that joins shows it.
    """
    config = _started_by_ray_up() or _on_kubernetes()
    if config is None:
        return list(now)
    most: int = config["max_workers"]
    planned: list[Mapping[str, float]] = []
    for kind in config["available_node_types"].values():
        if count := min(kind.get("max_workers", 0), most):
            planned += [kind["resources"] or _first_worker()] * count
    return planned[:most]


def _started_by_ray_up() -> dict[str, Any] | None:
    path = _CONFIG.expanduser()
    return json.loads(path.read_text()) if path.is_file() else None


def _on_kubernetes() -> dict[str, Any] | None:
    """The RayCluster that this pod belongs to, as Ray's autoscaler beside it reads it.

    None where there is none, or it has no autoscaler, whose right to read it this pod shares.
    """
    cluster = os.environ.get("RAY_CLUSTER_NAME")
    if not (cluster and _NAMESPACE.is_file()):
        return None
    from ray.autoscaler._private.kuberay import autoscaling_config, node_provider

    api: Any = node_provider.KubernetesHttpApiClient(_NAMESPACE.read_text().strip())
    try:
        found: dict[str, Any] = api.get(f"rayclusters/{cluster}")
    except OSError:
        return None
    if not found["spec"].get("enableInTreeAutoscaling"):
        return None
    derive: Any = autoscaling_config._derive_autoscaling_config_from_ray_cr
    config: dict[str, Any] = derive(found)
    return config


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
