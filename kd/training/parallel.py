"""What the workers of a data-parallel run do together, by torch.distributed."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel


def data_parallel(method: nn.Module) -> nn.Module:
    """`method` with its gradients averaged over the workers, and nothing else.

    Buffers stay each worker's own during an epoch: a history that rank 0 overwrote before
    every step would forget what the others wrote.
    """
    model = DistributedDataParallel(method)
    # As an attribute: the argument has another name from torch 2.15 on.
    model.broadcast_buffers = False
    return model


def mean_over_workers(values: Tensor) -> Tensor:
    """The mean of every worker's `values`, the same on all of them; alone, `values`."""
    if not dist.is_initialized():
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


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
