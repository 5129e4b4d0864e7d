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
    def count(self) -> int:
        """How many there are."""

    @property
    def identity(self) -> str:
        """What tells the stored images from all others, without reading them."""

    @property
    def digest(self) -> str | None:
        """That of `Images.digest` of all of them, if it is known."""

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

    @property
    def digest(self) -> str | None:
        """The reader's, where these are all that there are, in their order."""
        numbers, count = self.numbers, self.reader.count
        whole = len(numbers) == count and bool((numbers[1:] == numbers[:-1] + 1).all())
        return self.reader.digest if whole else None

    def __getitem__(self, indices: "NDArray[np.int64]") -> Self:
        """Those at `indices`, unread."""
        return replace(self, numbers=self.numbers[indices])

    def read(self, indices: "NDArray[np.int64]") -> "NDArray[np.uint8]":
        """The pixels of those at `indices`, (B, C, H, W)."""
        return self.reader.read(self.numbers[indices])

    def tobytes(self) -> bytes:
        """What stands for all their bytes in a digest."""
        return self.reader.identity.encode() + self.numbers.tobytes()


@dataclass(frozen=True)
class Both:
    """A reader of images of the same shape that lie in two places, the first ones first."""

    first: "Stored | NDArray[np.uint8]"
    second: "Stored | NDArray[np.uint8]"
    digest: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        _, channels, height, width = self.first.shape
        return channels, height, width

    @property
    def count(self) -> int:
        """Of both."""
        return self.first.shape[0] + self.second.shape[0]

    @property
    def identity(self) -> str:
        """Of both."""
        return "+".join(
            part.reader.identity if isinstance(part, Stored) else "memory"
            for part in (self.first, self.second)
        )

    def read(self, numbers: "NDArray[np.int64]") -> "NDArray[np.uint8]":
        """(B, C, H, W), from where each lies."""
        import numpy as np

        found = np.empty((len(numbers), *self.shape), np.uint8)
        split, later = self.first.shape[0], numbers >= self.first.shape[0]
        for part, where, places in (
            (self.first, ~later, numbers[~later]),
            (self.second, later, numbers[later] - split),
        ):
            if len(places):
                found[where] = part.read(places) if isinstance(part, Stored) else part[places]
        return found


def joined(first: "Stored | NDArray[np.uint8]", second: "Stored | NDArray[np.uint8]") -> Stored:
    """Both, one after the other, unread."""
    import numpy as np

    reader = Both(first, second)
    return Stored(reader, np.arange(reader.count))
