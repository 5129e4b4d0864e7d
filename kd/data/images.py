"""Labelled images in memory, and the two sets of them that are a data set."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images in memory.

    images: (N, C, H, W) uint8. labels: (N,) int64, each an index into `class_names`.
    """

    images: "NDArray[np.uint8]"
    labels: "NDArray[np.int64]"
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: "NDArray[np.int64]") -> Self:
        """A copy of the images at `indices`, in that order."""
        return type(self)(self.images[indices], self.labels[indices], self.class_names)


@dataclass(frozen=True)
class Dataset:
    """A training set, and a test set that stays sealed until `load_test` is called."""

    name: str
    train: Images
    load_test: Callable[[], Images]
