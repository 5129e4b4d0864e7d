"""How many trials share one GPU: as many as the memory of one that was tried out says."""

import math
from collections.abc import Sequence
from typing import Any

from kd.config import TrainConfig
from tuning.engine.share import Node, Share, share
from tuning.engine.trial import Work, teachers_of
from tuning.records.settings import SweepSettings

MARGIN = 1.2
"""How much more than it was seen to take a trial is given."""
STEPS = 3


def share_of(
    settings: SweepSettings, nodes: Sequence[Node], jobs: Sequence[tuple[TrainConfig, Work]] = ()
) -> Share:
    """What each trial of the sweep gets of `nodes`; UserError if none has room for a trial.

    Where --gpus-per-trial is `auto`, as many trials share a GPU as the memory of `jobs`, tried
    out on one, allows; a whole GPU is a trial's while there are none, and none is where the
    machines have none.
    """
    cpus, gpus, workers = (
        settings.cpus_per_trial,
        settings.gpus_per_trial,
        settings.workers_per_trial,
    )
    if gpus != "auto":
        return share(nodes, cpus, gpus, workers)
    whole = share(nodes, cpus, None, workers)
    if not (jobs and whole.gpus):
        return whole
    used, total = _try_out(jobs, whole)
    count = trials_on_a_gpu(used, total, _cores_of_a_gpu(nodes) // (cpus or 1))
    print(
        f"A trial takes {used / 2**30:.1f} of a GPU's {total / 2**30:.0f} GiB: {count} share one.",
        flush=True,
    )
    # Ray counts in ten-thousandths.
    return share(nodes, cpus, math.floor(1e4 / count) / 1e4)


def trials_on_a_gpu(used: int, total: int, cores: int) -> int:
    """How many trials of `used` bytes fit on a GPU of `total`, each with a core; at least 1."""
    return max(1, min(int(total / (MARGIN * used)), cores))


def footprint(config: TrainConfig, work: Work) -> tuple[int, int]:
    """(bytes of GPU memory that training `config` takes, bytes that the GPU has)."""
    import torch

    from kd.training.trainer import Place, Trainer

    free, total = torch.cuda.mem_get_info()
    context = total - free
    place, teachers = Place.local("cuda"), teachers_of(config, work)
    trainer = Trainer(config, work.train, work.val, place=place, teachers=teachers)
    trainer.try_out(STEPS)
    return context + torch.cuda.max_memory_reserved(), total


def _try_out(jobs: Sequence[tuple[TrainConfig, Work]], whole: Share) -> tuple[int, int]:
    """The largest footprint of the jobs, and the memory of the GPU that they were tried on."""
    import ray

    # A process for each, which ends and frees the memory.
    task: Any = ray.remote(num_cpus=whole.cpus, num_gpus=1, max_calls=1)(_footprint_or_all)
    seen = [ray.get(task.remote(config, work)) for config, work in jobs]
    return max(seen)[0], min(total for _, total in seen)


def _footprint_or_all(config: TrainConfig, work: Work) -> tuple[int, int]:
    """As `footprint`; all of the GPU for a training that does not even fit on one."""
    import torch

    try:
        return footprint(config, work)
    except torch.OutOfMemoryError:
        total = torch.cuda.mem_get_info()[1]
        return total, total


def _cores_of_a_gpu(nodes: Sequence[Node]) -> int:
    """The cores that a machine has for each of its GPUs, where it has the fewest."""
    return min(int(n.get("CPU", 0) // n["GPU"]) for n in nodes if n.get("GPU", 0) >= 1)
