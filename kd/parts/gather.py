"""What relates the samples of a batch that several workers share."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(rows: Tensor) -> Tensor:
    """The rows (B_r, …) of all workers, in the order of the batch: (B, …); alone, `rows`.

    For a loss that relates the samples of a batch (a Gram matrix, contrasts): each worker computes
    it whole, of all rows, and its gradient reaches the rows of every worker, so that the workers
    together learn as one alone does. Workers may hold different numbers of rows.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    whole: Tensor = _Gathered.apply(rows)
    return whole


class _Gathered(torch.autograd.Function):
    """Backwards, each worker gets the sum over workers of the gradients of its own rows.

    Workers average their gradients, so this sum stands for the gradient of one loss. Rows are
    padded to the most that a worker has: not all backends gather unequal ones.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        world = dist.get_world_size()
        count = torch.tensor([len(rows)], device=rows.device)
        counts = [torch.zeros_like(count) for _ in range(world)]
        dist.all_gather(counts, count)
        ctx.counts = [int(each) for each in counts]
        most = max(ctx.counts)
        padded = rows.new_zeros(most, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(world)]
        dist.all_gather(parts, padded)
        pairs = zip(parts, ctx.counts, strict=True)
        return torch.cat([part[:its] for part, its in pairs])

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Tensor:
        # A copy: autograd may hand the same tensor to others, as of a sum to both its parts.
        total = above.contiguous().clone()
        dist.all_reduce(total)
        rank = dist.get_rank()
        start = sum(ctx.counts[:rank])
        return total[start : start + ctx.counts[rank]]
