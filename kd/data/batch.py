"""What a loader hands out and a method's loss takes."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """One step's worth of the training set.

    images: (B, C, H, W) float, augmented and normalised. labels: (B,) int64.
    indices: (B,) int64, each image's place in the training split, 0 … N-1.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
