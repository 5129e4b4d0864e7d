"""Labelled images in memory, and the sets of them that are a data set."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

from kd.data.stored import Stored, joined
from kd.errors import UserError, brief

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images, in memory or where they are stored.

    images: (N, C, H, W) uint8. labels: (N,) int64, each an index into `class_names`.
    whole: the digest of the images that these were cut from; None where they are all there are.
    val: the val set that comes with them, so that none is cut; None where there is none.
    """

    images: "NDArray[np.uint8] | Stored"
    labels: "NDArray[np.int64]"
    class_names: tuple[str, ...]
    whole: str | None = None
    val: "Images | None" = None

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def digest(self) -> str:
        """What tells these images, labels and class names from all others; 0.2 s for CIFAR.

        With a val set of their own, its digest follows after a `+`.
        """
        own = self._own_digest()
        return own if self.val is None else f"{own}+{self.val.digest}"

    def _own_digest(self) -> str:
        if isinstance(self.images, Stored) and (known := self.images.digest):
            return known
        digest = hashlib.blake2b(digest_size=16)
        digest.update(digest_of(self.images.shape, self.class_names))
        # Of what lies in one piece no copy is made, which may be as large as the memory.
        for values in (self.images, self.labels):
            bare = values.tobytes() if isinstance(values, Stored) else values.ravel().data
            digest.update(bare)
        return digest.hexdigest()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        height, width = self.images.shape[2:]
        return height, width

    @property
    def counts(self) -> dict[str, int]:
        """How many images there are of every class, by its name."""
        import numpy as np

        counted = np.bincount(self.labels, minlength=len(self.class_names)).tolist()
        return dict(zip(self.class_names, counted, strict=True))

    def subset(self, indices: "NDArray[np.int64]") -> Self:
        """A copy of the images at `indices`, in that order."""
        whole = self.whole or self.digest
        return type(self)(self.images[indices], self.labels[indices], self.class_names, whole)

    def joined(self, others: "Images") -> Self:
        """These and then `others`, of the same classes and shape."""
        import numpy as np

        labels = np.concatenate([self.labels, others.labels])
        if isinstance(self.images, Stored) or isinstance(others.images, Stored):
            return replace(self, images=joined(self.images, others.images), labels=labels)
        return replace(self, images=np.concatenate([self.images, others.images]), labels=labels)


def digest_of(shape: tuple[int, ...], class_names: tuple[str, ...]) -> bytes:
    """What a digest of images (N, C, H, W) begins with, before pixels and labels."""
    return repr((tuple(shape), class_names)).encode()


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a training set without decoding its images.

    size: (H, W) in pixels. counts: how many images every class has, by its name. val: the same
    of a val set that comes with them; None where there is none. notes: what a person should know
    of where the sets come from, in sentences.
    """

    size: tuple[int, int]
    channels: int
    counts: Mapping[str, int]
    val: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()

    def check_classes(self, dataset: str) -> None:
        """Raise UserError where there is but one class with images in `dataset`."""
        if sum(map(bool, self.counts.values())) < 2:
            raise UserError(
                f"{brief(dataset)} has images of one class alone, so there is nothing to learn; "
                "give images of two classes or more."
            )


@dataclass(frozen=True)
class Dataset:
    """A training set, and a test set that stays sealed until `load_test` is called.

    `check_test` raises UserError where that would, and keeps nothing of what it reads.
    """

    name: str
    train: Images
    load_test: Callable[[], Images]
    check_test: Callable[[], object] = lambda: None
