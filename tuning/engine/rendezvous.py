"""How the workers of one trial find each other, on a Ray of our own, through no port.

torch.distributed listens for the first word of its workers on every interface of the machine. On
one machine a file does as well, and lies in the folder of our Ray, which its user alone may enter.
"""

import os
import tempfile
from dataclasses import dataclass
from typing import Any

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import (
    _set_torch_distributed_env_vars,
    _setup_torch_process_group,
    _TorchBackend,
)

from tuning.engine.runtime import OWN


@dataclass
class FileConfig(TorchConfig):
    """Ray Train's settings of torch.distributed, for workers that meet at a file."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """What starts the workers' process group."""
        return _FileBackend


def torch_config() -> TorchConfig:
    """How the workers of a trial meet: at a file on a Ray of our own, else as Ray Train has it."""
    return FileConfig() if os.environ.get(OWN) else TorchConfig()


class _FileBackend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Let all workers join the process group."""
        gpus = worker_group.get_resources_per_worker().get("GPU", 0)
        place = worker_group.execute_single(0, _meeting_place)
        worker_group.execute(_set_torch_distributed_env_vars)
        worker_group.execute(_by_loopback)
        joined = [
            worker_group.execute_single_async(
                rank,
                _setup_torch_process_group,
                backend="nccl" if gpus else "gloo",
                world_rank=rank,
                world_size=len(worker_group),
                init_method=f"file://{place}",
                timeout_s=backend_config.timeout_s,
            )
            for rank in range(len(worker_group))
        ]
        ray.get(joined)


def _by_loopback() -> None:
    """Let workers talk on the loopback interface, whatever the machine's name stands for."""
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


def _meeting_place() -> str:
    """A name in the session's folder that no other group has."""
    node: Any = ray._private.worker._global_node
    return f"{tempfile.mkdtemp(prefix='group-', dir=node.get_session_dir_path())}/workers"
