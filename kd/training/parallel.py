"""Where a run takes place, and what its workers do together, by torch.distributed."""

import os
from dataclasses import dataclass
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from kd.errors import UserError


class NoDeviceError(UserError):
    """There is no such device, or nothing can be computed on it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no device {name!r} here; use --device cpu.")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run takes place: its device, and its rank among `world` data-parallel workers.

    `captured` lets one worker on a GPU replay its steps from a graph; they are the same steps.
    `beside` is how many runs or workers, itself included, share the memory of its machine.
    `compiled` lets one worker compute the loss of its full batches by compiled code: the same
    formulas, rounded otherwise.
    """

    device: torch.device
    rank: int = 0
    world: int = 1
    captured: bool = True
    beside: int = 1
    compiled: bool = False

    @classmethod
    def local(cls, device: str | None = None) -> Self:
        """This process; the GPU if there is one and nothing else was asked for.

        It is one of several workers where torch.distributed is initialised, and else alone.
        """
        name = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            chosen = torch.device(name)
            torch.zeros(1, device=chosen).item()
        except (RuntimeError, AssertionError, ImportError):
            raise NoDeviceError(name) from None
        if chosen.type == "cuda" and chosen.index is not None:
            # Streams, graphs and random states are those of the device that is set.
            torch.cuda.set_device(chosen)
        if not dist.is_initialized():
            return cls(device=chosen)
        rank, world = dist.get_rank(), dist.get_world_size()
        # Whoever starts workers on several machines says how many are on this one.
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", world))
        return cls(device=chosen, rank=rank, world=world, beside=beside)


def data_parallel(method: nn.Module) -> nn.Module:
    """`method` with its gradients averaged over the workers, and nothing else.

    Buffers stay each worker's own during an epoch: a history that rank 0 overwrote before
    every step would forget what the others wrote.
    """
    model = DistributedDataParallel(method)
    # As an attribute: the argument has another name from torch 2.15 on.
    model.broadcast_buffers = False
    return model


def sum_over_workers(values: Tensor) -> Tensor:
    """The sum of every worker's `values`, the same on all of them; alone, `values`."""
    if not dist.is_initialized():
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total


def mean_over_workers(values: Tensor) -> Tensor:
    """The mean of every worker's `values`, the same on all of them; alone, `values`."""
    total = sum_over_workers(values)
    return total / dist.get_world_size() if dist.is_initialized() else total


def any_worker(flag: bool, place: Place) -> bool:
    """Whether `flag` is set on one of the workers, for all of which this waits."""
    if not dist.is_initialized():
        return flag
    return sum_over_workers(torch.tensor(float(flag), device=place.device)).item() > 0


@torch.no_grad()
def average_statistics(module: nn.Module) -> None:
    """Give every worker the mean of all workers' running BatchNorm statistics.

    Called after each epoch, so that all of them validate the same network and rank 0's
    checkpoint says all that there is to say. A teacher in eval mode is left alone.
    """
    statistics = [
        buffer
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and layer.training
        for buffer in (layer.running_mean, layer.running_var)
        if buffer is not None
    ]
    if not (dist.is_initialized() and statistics):
        return
    means = mean_over_workers(torch.cat(statistics))
    lengths = [len(buffer) for buffer in statistics]
    for buffer, mean in zip(statistics, torch.split(means, lengths), strict=True):
        buffer.copy_(mean)
