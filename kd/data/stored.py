"""Pixels that stay where they are stored until they are needed, as memory cannot hold them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Reader(Protocol):
    """Where the pixels of a data set are stored; it can be sent to another process."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""

    @property
    def identity(self) -> str:
        """What tells the stored images from all others, without reading them."""

    def read(self, numbers: "NDArray[np.int64]") -> "NDArray[np.uint8]":
        """The images of these numbers, (B, C, H, W); UserError for one that cannot be read.

        Called in threads side by side.
        """


@dataclass(frozen=True, eq=False)
class Stored:
    """In the place of an array of images (N, C, H, W): their `numbers` (N,) in `reader`."""

    reader: Reader
    numbers: "NDArray[np.int64]"

    nbytes = 0
    """Bytes of memory that it takes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return (len(self.numbers), *self.reader.shape)

    def __getitem__(self, indices: "NDArray[np.int64]") -> Self:
        """Those at `indices`, unread."""
        return replace(self, numbers=self.numbers[indices])

    def read(self, indices: "NDArray[np.int64]") -> "NDArray[np.uint8]":
        """The pixels of those at `indices`, (B, C, H, W)."""
        return self.reader.read(self.numbers[indices])

    def tobytes(self) -> bytes:
        """What stands for all their bytes in a digest."""
        return self.reader.identity.encode() + self.numbers.tobytes()
