"""Soft-label memories: what the network predicted for every training sample, an epoch ago."""

import math
from abc import ABC, abstractmethod

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SoftLabelHistory(nn.Module, ABC):
    """Probabilities of shape (N, *rows, C), one entry a training sample; all of it buffers.

    A sample that was never written reads as the one-hot of its label, so that the first epoch
    of every method that has a history learns from the labels alone.

    Args:
        num_samples: N.
        shape: (*rows, C), what is kept of one sample.
    """

    seen: Tensor
    _written: Tensor

    def __init__(self, num_samples: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("seen", torch.zeros(num_samples, dtype=torch.bool))
        # Empty at the end of every epoch, which is when a checkpoint is made.
        self.register_buffer(
            "_written", torch.zeros(num_samples, dtype=torch.bool), persistent=False
        )

    def read(self, indices: Tensor, labels: Tensor) -> Tensor:
        """The last probabilities of samples `indices` (B,) int64: (B, *rows, C), a copy.

        labels: int64 that broadcasts to (B, *rows).
        """
        past = self._load(indices)
        label = labels.expand(past.shape[:-1]).unsqueeze(-1)
        # An unwritten entry is all zero.
        unseen = (~self.seen[indices]).to(past.dtype).view(-1, *(1 for _ in self.shape))
        return past.scatter_add_(-1, label, unseen.expand(label.shape))

    def write(self, indices: Tensor, probabilities: Tensor) -> None:
        """Keep `probabilities` (B, *rows, C) of samples `indices` (B,) int64."""
        self._store(indices, probabilities.detach())
        self.seen.index_fill_(0, indices, True)
        self._written.index_fill_(0, indices, True)

    def sync(self) -> None:
        """Give every data-parallel worker what any of them wrote since the last call.

        Called after each epoch, on all workers. Where two wrote the same sample, the lower
        rank's entry is kept.
        """
        if dist.is_initialized() and dist.get_world_size() > 1:
            rank, world = dist.get_rank(), dist.get_world_size()
            owner = torch.where(self._written, rank, world)
            dist.all_reduce(owner, dist.ReduceOp.MIN)
            for source in range(world):
                indices = (owner == source).nonzero().squeeze(1)
                for buffer in self.entries():
                    entries = buffer[indices]
                    dist.broadcast(entries, source)
                    buffer[indices] = entries
            self.seen |= owner < world
        self._written.zero_()

    @abstractmethod
    def _load(self, indices: Tensor) -> Tensor:
        """A new tensor (B, *rows, C); zero where nothing was stored."""

    @abstractmethod
    def _store(self, indices: Tensor, probabilities: Tensor) -> None:
        """Keep (B, *rows, C) for `_load`."""

    @abstractmethod
    def entries(self) -> list[Tensor]:
        """The buffers that hold the entries, each (N, ...)."""


class DenseHistory(SoftLabelHistory):
    """Every probability as it is: N·rows·C values of `dtype`."""

    values: Tensor

    def __init__(
        self, num_samples: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(num_samples, shape)
        # Flat: `Module.to(memory_format=channels_last)` would scatter the entries of a buffer
        # with four dimensions over memory.
        self.register_buffer("values", torch.zeros(num_samples, math.prod(shape), dtype=dtype))

    def _load(self, indices: Tensor) -> Tensor:
        return self.values.index_select(0, indices).view(-1, *self.shape)

    def _store(self, indices: Tensor, probabilities: Tensor) -> None:
        self.values.index_copy_(0, indices, probabilities.flatten(1).to(self.values.dtype))

    def entries(self) -> list[Tensor]:
        """The probabilities."""
        return [self.values]
