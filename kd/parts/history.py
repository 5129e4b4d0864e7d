"""Soft-label memories: what the network predicted for every training sample, an epoch ago.

`Histories` is the one factory. In which form and where entries are kept, no method knows.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from kd.errors import UserError
from kd.memories import Column, Form, columns
from kd.parts.mapped import MappedRows

CHUNK = 2**26
"""Bytes of entries that are sent to other workers at a time."""


@dataclass(frozen=True, kw_only=True)
class Histories:
    """Makes memories of one form in one place.

    Attributes:
        form: what is kept of a probability.
        device: where the entries lie, the current default device if None. For entries on the
            host, where what belongs to a batch lies.
        host: whether entries lie on the host whatever `device` is; in files of `folder`, or in
            memory if that is None.
        kept: how many probabilities of a row the form `compressed` keeps; None for the usual.
    """

    form: Form = "dense"
    device: torch.device | None = None
    host: bool = False
    folder: Path | None = None
    kept: int | None = None

    def __call__(self, num_samples: int, shape: tuple[int, ...]) -> "SoftLabelHistory":
        """The memory of `num_samples` samples with probabilities of `shape` (*rows, C)."""
        parts = columns(self.form, shape, self.kept)
        mapped = MappedRows(num_samples, parts, self.folder) if self.host else None
        with torch.device(self.device or torch.get_default_device()):
            if len(parts) > 1:
                return CompressedHistory(num_samples, shape, parts, mapped)
            return DenseHistory(num_samples, shape, getattr(torch, parts[0].dtype), mapped)


class SoftLabelHistory(nn.Module, ABC):
    """Probabilities of shape (N, *rows, C), one entry a training sample.

    A sample that was never written reads as the one-hot of its label, so that the first epoch
    of every method that has a history learns from the labels alone.

    Entries are buffers, or `mapped` rows on the host, which move to no device; `state_dict` holds
    them in either case, under the same names.

    Args:
        num_samples: N.
        shape: (*rows, C), what is kept of one sample.
        parts: the tensors of the entries.
        mapped: what holds them, if they do not lie on the device.
    """

    seen: Tensor
    _written: Tensor

    def __init__(
        self,
        num_samples: int,
        shape: tuple[int, ...],
        parts: Sequence[Column],
        mapped: MappedRows | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.mapped = mapped
        self._names = [part.name for part in parts]
        self.register_buffer("seen", torch.zeros(num_samples, dtype=torch.bool))
        # Empty at the end of every epoch, which is when a checkpoint is made.
        self.register_buffer(
            "_written", torch.zeros(num_samples, dtype=torch.bool), persistent=False
        )
        for part in parts if mapped is None else ():
            # Flat: `Module.to(memory_format=channels_last)` would scatter the entries of a buffer
            # with four dimensions over memory.
            values = torch.zeros(num_samples, part.width, dtype=getattr(torch, part.dtype))
            self.register_buffer(part.name, values)
        self.register_state_dict_post_hook(_add_mapped)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_take_mapped)  # type: ignore[no-untyped-call]

    def read(self, indices: Tensor, labels: Tensor) -> Tensor:
        """The last probabilities of samples `indices` (B,) int64: (B, *rows, C), a copy.

        In float32 at least. labels: int64 that broadcasts to (B, *rows).
        """
        if self.mapped is None:
            past = self._decode([entry.index_select(0, indices) for entry in self.entries()])
        else:
            past = self._decode(self.mapped.read(indices))
        label = labels.expand(past.shape[:-1]).unsqueeze(-1)
        # An unwritten entry is all zero.
        unseen = (~self.seen[indices]).to(past.dtype).view(-1, *(1 for _ in self.shape))
        return past.scatter_add_(-1, label, unseen.expand(label.shape))

    def write(self, indices: Tensor, probabilities: Tensor) -> None:
        """Keep `probabilities` (B, *rows, C) of samples `indices` (B,) int64."""
        rows = self._encode(probabilities.detach())
        if self.mapped is None:
            for entry, new in zip(self.entries(), rows, strict=True):
                entry.index_copy_(0, indices, new.to(entry.dtype))
        else:
            self.mapped.write(indices, rows)
        self.seen.index_fill_(0, indices, True)
        self._written.index_fill_(0, indices, True)

    def sync(self) -> None:
        """Give every data-parallel worker what any of them wrote since the last call.

        Called after each epoch, on all workers, wherever their entries lie. Where two wrote the
        same sample, the lower rank's entry is kept.
        """
        if dist.is_initialized() and dist.get_world_size() > 1:
            rank, world = dist.get_rank(), dist.get_world_size()
            owner = torch.where(self._written, rank, world)
            dist.all_reduce(owner, dist.ReduceOp.MIN)
            for source in range(world):
                indices = (owner == source).nonzero().squeeze(1)
                for entry in self.entries():
                    for part in torch.split(indices, max(1, CHUNK // entry[0].nbytes)):
                        _broadcast(entry, part, source)
            self.seen |= owner < world
        self._written.zero_()

    def entries(self) -> list[Tensor]:
        """The tensors that hold the entries, each (N, ...)."""
        if self.mapped is not None:
            return list(self.mapped.tensors.values())
        return [getattr(self, name) for name in self._names]

    @abstractmethod
    def _decode(self, rows: list[Tensor]) -> Tensor:
        """New probabilities (B, *rows, C) from entries (B, ...); zero where nothing was stored."""

    @abstractmethod
    def _encode(self, probabilities: Tensor) -> list[Tensor]:
        """The entries (B, ...) that `_decode` reads as probabilities (B, *rows, C)."""


class DenseHistory(SoftLabelHistory):
    """Every probability as it is: N·rows·C values.

    In half precision a row is divided by its sum when it is read, so that it sums to 1 again.
    """

    def __init__(
        self,
        num_samples: int,
        shape: tuple[int, ...],
        dtype: torch.dtype = torch.float32,
        mapped: MappedRows | None = None,
    ) -> None:
        part = Column("values", math.prod(shape), str(dtype).removeprefix("torch."))
        super().__init__(num_samples, shape, [part], mapped)

    def _decode(self, rows: list[Tensor]) -> Tensor:
        values = rows[0].view(-1, *self.shape)
        if torch.finfo(values.dtype).bits > 16:
            return values
        wide = values.float()
        return _divided(wide, wide.sum(-1, keepdim=True))

    def _encode(self, probabilities: Tensor) -> list[Tensor]:
        dtype = self.entries()[0].dtype
        return [probabilities.flatten(1).to(dtype)]


class CompressedHistory(SoftLabelHistory):
    """The k largest probabilities of a row, their classes, and the mass of all others.

    `values` are k + 1 in float16, the mass last, which a reader spreads evenly over the C − k
    other classes. A probability keeps 11 bits however close the largest is to 1, since a row is
    divided by its sum when it is read. What is below 6·10⁻⁸ vanishes.
    """

    @property
    def _kept(self) -> int:
        """K."""
        values, classes = (entry.shape[1] for entry in self.entries())
        return classes // (values - classes)

    def _decode(self, rows: list[Tensor]) -> Tensor:
        classes = rows[1].view(-1, *self.shape[:-1], self._kept).long()
        values = rows[0].view(-1, *self.shape[:-1], self._kept + 1).float()
        total = values.sum(-1, keepdim=True)
        largest, rest = values[..., :-1], values[..., -1:]
        others = self.shape[-1] - self._kept
        past = (rest / others).expand(*values.shape[:-1], self.shape[-1]).clone()
        return _divided(past.scatter_(-1, classes, largest), total)

    def _encode(self, probabilities: Tensor) -> list[Tensor]:
        largest, classes = probabilities.topk(self._kept, dim=-1)
        rest = (1 - largest.sum(-1, keepdim=True)).clamp(min=0)
        values = torch.cat([largest, rest], dim=-1)
        dtypes = (entry.dtype for entry in self.entries())
        return [t.flatten(1).to(d) for t, d in zip((values, classes), dtypes, strict=True)]


def _divided(past: Tensor, total: Tensor) -> Tensor:
    """Rows divided by their sums, in place; a row of zeros stays one."""
    return past.div_(total.clamp(min=torch.finfo(torch.float32).tiny))


def _broadcast(entry: Tensor, indices: Tensor, source: int) -> None:
    """Give every worker the rows `indices` of worker `source`, which lie where its peers talk."""
    at = indices.to(entry.device)
    rows = entry.index_select(0, at).to(indices.device)
    # As bytes: not every backend sends every type.
    dist.broadcast(rows.view(torch.uint8), source)
    if dist.get_rank() != source:
        entry.index_copy_(0, at, rows.to(entry.device))


# -- checkpoints ------------------------------------------------------------------------------


def _add_mapped(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Put what is mapped into a state, as buffers are."""
    assert isinstance(module, SoftLabelHistory)
    for name, tensor in (module.mapped.tensors if module.mapped else {}).items():
        state[prefix + name] = tensor


def _take_mapped(
    module: nn.Module,
    state: dict[str, Any],
    prefix: str,
    _: Mapping[str, Any],
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    errors: list[str],
) -> None:
    """Read what is mapped from a state; UserError for entries in another form."""
    assert isinstance(module, SoftLabelHistory)
    names = ("values", "classes")
    own = dict(zip(module._names, module.entries(), strict=True))
    found = {name: state[prefix + name] for name in names if prefix + name in state}
    if found and _form(found) != _form(own):
        raise UserError(
            "The checkpoint keeps its soft labels in another form than this run; give `history` "
            "as it was then, or train in a new folder."
        )
    for name, tensor in (module.mapped.tensors if module.mapped else {}).items():
        value = state.pop(prefix + name, None)
        if value is None:
            missing.append(prefix + name)
        else:
            tensor.copy_(value)


def _form(entries: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    """What tells one form from another; float64 is as good as float32."""
    dtypes = ((name, e.dtype, e.shape[1:]) for name, e in entries.items())
    return {n: (torch.float32 if d == torch.float64 else d, s) for n, d, s in dtypes}
