"""Where a loader takes the pixels of a batch from: the device's memory, or what is read ahead."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kd.data.stored import Stored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

AHEAD = 3
"""Batches that are read before the one that is trained on is done."""
CHUNK = 16
"""Images that a thread reads at a time."""


class Resident:
    """All images lie on the device as one tensor, (N, C, H, W) uint8."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def begin(self, steps: "Sequence[Sequence[Numbers]]") -> None:
        """Nothing is read ahead."""

    def fetch(self, step: int) -> None:
        """It is there."""

    def take(self, look: int, indices: Tensor) -> Tensor:
        """The images at `indices` (B,)."""
        return self.images.index_select(0, indices)

    def parts(self, part: slice, size: int) -> Iterator[tuple[slice, Tensor]]:
        """The images of `part` in their order, `size` at a time, and where they stand."""
        for where in _windows(part, size):
            yield where, self.images[where]


class Ahead:
    """Images are read by threads while earlier batches are trained on, in the order of the epoch.

    A batch of a usual size lies in slots on the device, always the same ones, so that a captured
    step finds it there.

    Args:
        images: where they are stored.
        device: where batches are put.
        threads: that read.
    """

    def __init__(self, images: Stored, device: torch.device, threads: int) -> None:
        self.images = images
        self.device = device
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")
        self._steps: Sequence[Sequence[Numbers]] = ()
        self._coming: deque[tuple[int, list[list[Future[np.ndarray]]]]] = deque()
        self._slots: list[Tensor] = []
        self._now: list[Tensor] = []
        self._step = -1

    def begin(self, steps: "Sequence[Sequence[Numbers]]") -> None:
        """Begin an epoch: of each step, the images of each look; what was coming is let go."""
        self._let_go()
        self._steps, self._step = steps, -1
        for step in range(min(AHEAD, len(steps))):
            self._order(step)

    def fetch(self, step: int) -> None:
        """Put the images of `step` where `take` finds them; the same step may be fetched again.

        UserError for an image that cannot be read.
        """
        if step == self._step:
            return
        if not self._coming or self._coming[0][0] != step:
            self._let_go()
            self._order(step)
        _, looks = self._coming.popleft()
        last = self._coming[-1][0] if self._coming else step
        if last + 1 < len(self._steps):
            self._order(last + 1)
        found = [_joined(parts) for parts in looks]
        if self.device.type == "cuda":
            found = [tensor.pin_memory() for tensor in found]
        if not self._slots:
            self._slots = [torch.empty_like(tensor, device=self.device) for tensor in found]
        if all(slot.shape == t.shape for slot, t in zip(self._slots, found, strict=True)):
            for slot, tensor in zip(self._slots, found, strict=True):
                slot.copy_(tensor, non_blocking=True)
            self._now = self._slots
        else:
            self._now = [tensor.to(self.device, non_blocking=True) for tensor in found]
        self._step = step

    def take(self, look: int, indices: Tensor) -> Tensor:
        """The images of the look, of the step that was fetched; they are those at `indices`."""
        return self._now[look]

    def parts(self, part: slice, size: int) -> Iterator[tuple[slice, Tensor]]:
        """As of `Resident`, read ahead."""
        import numpy as np

        windows = list(_windows(part, size))
        coming = deque(self._read(np.arange(w.start, w.stop)) for w in windows[:AHEAD])
        for number, where in enumerate(windows):
            if number + AHEAD < len(windows):
                following = windows[number + AHEAD]
                coming.append(self._read(np.arange(following.start, following.stop)))
            yield where, _joined(coming.popleft()).to(self.device)

    def _order(self, step: int) -> None:
        self._coming.append((step, [self._read(indices) for indices in self._steps[step]]))

    def _read(self, indices: "Numbers") -> "list[Future[np.ndarray]]":
        """The images at `indices`, by several threads."""
        chunks = (indices[n : n + CHUNK] for n in range(0, len(indices), CHUNK))
        return [self._threads.submit(self.images.read, chunk) for chunk in chunks]

    def _let_go(self) -> None:
        for _, looks in self._coming:
            for future in (future for parts in looks for future in parts):
                future.cancel()
        self._coming.clear()


Pixels = Resident | Ahead


def _joined(parts: "list[Future[np.ndarray]]") -> Tensor:
    return torch.cat([torch.from_numpy(part.result()) for part in parts])


def _windows(part: slice, size: int) -> Iterator[slice]:
    for start in range(part.start, part.stop, size):
        yield slice(start, min(start + size, part.stop))
