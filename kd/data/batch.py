"""What a loader hands out and a method's loss takes."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """One step's worth of the training set.

    images: (B, C, H, W) float, augmented and normalised. labels: (B,) int64; of
    images that are mixed, probabilities (B, C).
    indices: (B,) int64, each image's place in the training split, 0 … N-1.
    views: as many more as the method `needs`, each (B, C, H, W): the same images, augmented anew.
    partners: (B, C, H, W), another image of each one's class, where the method `needs` one.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    views: tuple[Tensor, ...] = ()
    partners: Tensor | None = None
