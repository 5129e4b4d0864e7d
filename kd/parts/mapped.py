"""Rows of a memory that lie on the host while the network may be elsewhere."""

import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from kd.errors import UserError
from kd.memories import Column, readable


class MappedRows:
    """Tensors (N, ...) on the host, each in a file of its own that is mapped into memory.

    The files are unlinked when they are made, so that they end with the process, however it ends.
    All their room is taken at once: a disk that is full says so here, and not by a signal in the
    middle of an epoch.

    Rows are read and written at once, wherever their indices lie; on a GPU that waits for it. A
    step that was captured cannot wait. Around it, `fetch` brings the rows of its batch into slots
    on the device, where it reads and writes them, and `flush` takes them back.

    Args:
        num_samples: N.
        columns: one for each tensor.
        folder: where the files are; None keeps the rows in the host's memory.

    Raises:
        UserError: the folder has no room for the files.
    """

    def __init__(self, num_samples: int, columns: Sequence[Column], folder: Path | None) -> None:
        self.tensors = {c.name: _tensor(num_samples, c, folder) for c in columns}
        self._slots: list[Tensor] = []
        self._fetched: Tensor | None = None

    def read(self, indices: Tensor) -> list[Tensor]:
        """The rows of samples `indices` (B,), copied to where the indices lie."""
        if self._fetched is not None:
            return [slot.clone() for slot in self._slots]
        host = indices.cpu()
        return [t.index_select(0, host).to(indices.device) for t in self.tensors.values()]

    def write(self, indices: Tensor, rows: Sequence[Tensor]) -> None:
        """Keep the `rows` of samples `indices` (B,)."""
        if self._fetched is not None:
            for slot, new in zip(self._slots, rows, strict=True):
                slot.copy_(new)
        else:
            self._keep(indices.cpu(), rows)

    def fetch(self, indices: Tensor, device: torch.device) -> None:
        """Until the next `flush`, a batch of samples `indices` (B,), on the host, is in slots.

        For the same B they are the same slots, so that a graph finds them again.
        """
        rows = [t.index_select(0, indices) for t in self.tensors.values()]
        if [slot.shape for slot in self._slots] != [row.shape for row in rows]:
            self._slots = [torch.empty_like(row, device=device) for row in rows]
        for slot, row in zip(self._slots, rows, strict=True):
            slot.copy_(row)
        self._fetched = indices

    def flush(self) -> None:
        """Keep what is in the slots; waits for the device."""
        assert self._fetched is not None, "nothing was fetched"
        self._keep(self._fetched, self._slots)
        self.forget()

    def forget(self) -> None:
        """Leave the slots, and what was written there."""
        self._fetched = None

    def _keep(self, indices: Tensor, rows: Sequence[Tensor]) -> None:
        for tensor, new in zip(self.tensors.values(), rows, strict=True):
            tensor.index_copy_(0, indices, new.cpu())


def _tensor(num_samples: int, column: Column, folder: Path | None) -> Tensor:
    """Zeros (N, width) in a new file of `folder`, or in memory."""
    dtype: torch.dtype = getattr(torch, column.dtype)
    size = num_samples * column.nbytes
    if folder is None:
        return torch.zeros(num_samples, column.width, dtype=dtype, device="cpu")
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)
            mapped = mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise UserError(
            f"The soft labels cannot be kept in {folder}: {error.strerror or error}; set TMPDIR to "
            f"a folder with {readable(size)} of room."
        ) from None
    # The tensor keeps the map alive, and the map the file.
    return torch.frombuffer(mapped, dtype=dtype).view(num_samples, column.width)
