"""Images mixed with others of their batch, and their labels with theirs: mixup and CutMix."""

from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kd.data.augment import at
from kd.data.config import AugmentConfig


class Mixes(NamedTuple):
    """With whom, and how, each of an epoch's N images is mixed, by its place in the order.

    mates: (N,) int64, the place of the other one, in the same batch. blend: (N,), the image's own
    share of its pixels. boxes: (N, 4) int64, the top, left, bottom and right of the rectangle that
    is the other's alone. labels: (N,), the share of its own label.
    """

    mates: Tensor
    blend: Tensor
    boxes: Tensor
    labels: Tensor

    @classmethod
    def make(
        cls, config: AugmentConfig, batches: list[slice], size: tuple[int, int], seed: int
    ) -> Self:
        """Draw for the images (H, W) of `batches`, which are places in the epoch's order."""
        random, (height, width) = np.random.default_rng(seed), size
        count = batches[-1].stop
        mates = np.concatenate([np.roll(np.arange(b.start, b.stop), 1) for b in batches])
        share, cut = np.ones(count), np.zeros(count, bool)
        by_mixup = random.beta(config.mixup, config.mixup, count) if config.mixup else None
        by_cutmix = random.beta(config.cutmix, config.cutmix, count) if config.cutmix else None
        if by_cutmix is not None:
            cut = np.ones(count, bool) if by_mixup is None else random.random(count) < 0.5
            share = np.where(cut, by_cutmix, share)
        if by_mixup is not None:
            share = np.where(cut, share, by_mixup)
        side = np.where(cut, np.sqrt(1 - share), 0.0)
        middle = random.random((2, count)) * np.array([[height], [width]])
        edges = []
        for sign in (-1, 1):
            for place, pixels in zip(middle, size, strict=True):
                half = np.floor(side * pixels / 2)
                edges.append(np.clip(np.floor(place) + sign * half, 0, pixels))
        boxes = np.stack(edges, axis=1).astype(np.int64)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
        labels = np.where(cut, 1 - area, share)
        blend = np.where(cut, 1.0, share)
        return cls(
            torch.from_numpy(mates),
            torch.from_numpy(blend).float(),
            torch.from_numpy(boxes),
            torch.from_numpy(labels).float(),
        )

    def take(self, where: slice | Tensor) -> Self:
        """Those of the images at some places of the epoch's order."""
        return type(self)(*(at(tensor, where) for tensor in self))

    def to(self, device: torch.device) -> Self:
        """The same on `device`."""
        return type(self)(*(tensor.to(device, non_blocking=True) for tensor in self))


def mix_images(images: Tensor, others: Tensor, mixes: Mixes) -> Tensor:
    """(B, C, H, W) images and those of their mates, both augmented and normalised, mixed."""
    h, w = images.shape[2:]
    top, left, bottom, right = mixes.boxes.view(-1, 4, 1).unbind(1)
    rows, columns = torch.arange(h, device=images.device), torch.arange(w, device=images.device)
    inside_rows = (rows >= top) & (rows < bottom)
    inside_columns = (columns >= left) & (columns < right)
    inside = (inside_rows.unsqueeze(2) & inside_columns.unsqueeze(1)).unsqueeze(1)
    blended = torch.lerp(others, images, mixes.blend.view(-1, 1, 1, 1))
    return torch.where(inside, others, blended)


def mix_labels(labels: Tensor, others: Tensor, mixes: Mixes, num_classes: int) -> Tensor:
    """Labels (B,) int64 and those of their mates as probabilities (B, C), float32."""
    own, its = (F.one_hot(each, num_classes).float() for each in (labels, others))
    return torch.lerp(its, own, mixes.labels.unsqueeze(1))
