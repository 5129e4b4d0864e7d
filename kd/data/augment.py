"""Augmentation of whole batches on the device. What chance decides is drawn apart, and first.

No step waits for the device, loops over images, or indexes single pixels: gathering whole
images with `index_select` is a copy of memory, five times as fast as indexing on a CPU.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from kd.data.colours import colour
from kd.data.config import AugmentConfig
from kd.data.trivial import draw, trivial
from kd.errors import UserError

TRIES = 10
"""Areas and ratios that are drawn for a part of an image, of which the first that fits is taken."""
RATIO = 4 / 3
"""Of its sides, at most."""


class Draws(NamedTuple):
    """What chance decides for each of N images; None for what is left out.

    shifts: (N, 2) int64, down and right, 0 … 2·crop_padding. flips: (N,) bool.
    centres: (N, 2) int64, the pixel in the middle of the square that is cut out.
    boxes: (N, 4), the top, left, height and width of the part that is resized, in pixels.
    angles: (N,), in radians, counter-clockwise.
    colours: (N, 3), the factors of brightness, contrast and saturation.
    trivial: (N, 2), an operation of TrivialAugment and its strength.
    """

    shifts: Tensor
    flips: Tensor
    centres: Tensor
    boxes: Tensor | None = None
    angles: Tensor | None = None
    colours: Tensor | None = None
    trivial: Tensor | None = None

    @classmethod
    def make(
        cls, config: AugmentConfig, count: int, size: tuple[int, int], generator: torch.Generator
    ) -> Self:
        """Draw for `count` images of `size` (H, W).

        Always from the same places in the generator's stream, so that switching one
        augmentation on leaves the others as they were.
        """
        u = torch.rand(5, count, generator=generator)
        seen = config.seen(size)
        shifts = (u[:2] * (2 * config.crop_padding + 1)).long().T
        centres = (u[3:] * torch.tensor(seen).unsqueeze(1)).long().T
        drawn = cls(shifts, u[2] < config.flip, centres)
        if config.crop_size or config.rotation or config.colours:
            v = 2 * torch.rand(4, count, generator=generator) - 1
            w = torch.rand(2 + 2 * TRIES, count, generator=generator)
            if config.rotation:
                drawn = drawn._replace(angles=v[0] * math.radians(config.rotation))
            if config.colours:
                widths = torch.tensor([config.brightness, config.contrast, config.saturation])
                drawn = drawn._replace(colours=1 + v[1:].T * widths)
            if config.crop_size:
                drawn = drawn._replace(boxes=_boxes(w, size, config.crop_scale))
        if config.trivial_augment:
            drawn = drawn._replace(trivial=draw(torch.rand(3, count, generator=generator)))
        return drawn

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same with `change` in all of it."""
        more = (None if tensor is None else change(tensor) for tensor in self[3:])
        return type(self)(*map(change, self[:3]), *more)

    def take(self, where: slice | Tensor) -> Self:
        """The draws for the images at some places of the epoch's order."""
        return self.each(lambda tensor: at(tensor, where))

    def to(self, device: torch.device) -> Self:
        """The draws on `device`."""
        return self.each(lambda tensor: tensor.to(device, non_blocking=True))

    def tensors(self) -> list[Tensor]:
        """All that was drawn."""
        return [tensor for tensor in self if tensor is not None]


def _boxes(u: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    """Parts of images of `size` (H, W), as torchvision's RandomResizedCrop draws them: (N, 4).

    The first of `TRIES` areas and ratios that fits; else the largest in the middle.
    """
    height, width = size
    area = (scale + (1 - scale) * u[2 : 2 + TRIES]) * height * width
    ratio = ((2 * u[2 + TRIES :] - 1) * math.log(RATIO)).exp()
    h, w = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()
    fits = (h >= 1) & (w >= 1) & (h <= height) & (w <= width)
    first = fits.int().argmax(0, keepdim=True)
    found = fits.any(0)
    whole = (min(height, round(width * RATIO)), min(width, round(height * RATIO)))
    h, w = (
        torch.where(found, side.gather(0, first)[0], torch.tensor(float(most)))
        for side, most in zip((h, w), whole, strict=True)
    )
    down = torch.where(found, (u[0] * (height - h + 1)).floor(), ((height - h) / 2).floor())
    right = torch.where(found, (u[1] * (width - w + 1)).floor(), ((width - w) / 2).floor())
    return torch.stack([down, right, h, w], dim=1)


def augmented(
    images: Tensor, draws: Draws, config: AugmentConfig, scale: Tensor, offset: Tensor
) -> Tensor:
    """(B, C, H, W) uint8 to float32, changed by `draws` and normalised: x·scale + offset."""
    if config.crop_padding:
        images = crop(images, draws.shifts, config.crop_padding)
    if draws.boxes is not None:
        images = resized_crop(images, draws.boxes, config.crop_size)
    if config.flip:
        images = flip(images, draws.flips)
    if draws.trivial is not None:
        images = trivial(images.round().to(torch.uint8), draws.trivial)
    if draws.angles is not None:
        images = rotate(images.float(), draws.angles)
    if draws.colours is not None:
        images = colour(images.float(), draws.colours)
    normalised = images.float().mul_(scale).add_(offset)
    if config.cutout:
        cutout(normalised, draws.centres, config.cutout)
    return normalised


def at(tensor: Tensor, where: slice | Tensor) -> Tensor:
    """The entries at `where`: a slice, or int64 places on the tensor's device."""
    return tensor[where] if isinstance(where, slice) else tensor.index_select(0, where)


def crop(images: Tensor, shifts: Tensor, padding: int) -> Tensor:
    """Pad (B, C, H, W) with black by `padding`, and cut each image out at its own (B, 2) shift."""
    b, c, h, w = images.shape
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    row, plane = w + 2 * padding, (h + 2 * padding) * (w + 2 * padding)
    # A view of every window of memory that begins anywhere; an image is the window that begins
    # at its shifted corner.
    last = (b - 1) * c * plane + 2 * padding * (row + 1)
    windows = padded.as_strided((last + 1, c, h, w), (1, plane, row, 1))
    image = torch.arange(b, device=images.device) * (c * plane)
    return windows.index_select(0, image + shifts[:, 0] * row + shifts[:, 1])


def middle(images: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of (B, C, H, W) that is of `size` (H, W)."""
    height, width = images.shape[2:]
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return images[..., top : top + size[0], left : left + size[1]]


def flip(images: Tensor, flags: Tensor) -> Tensor:
    """Mirror those of (B, C, H, W) whose (B,) flag is set, left to right."""
    both = torch.cat([images, images.flip(-1)])
    index = torch.arange(len(images), device=images.device)
    return both.index_select(0, index + len(images) * flags)


def resized_crop(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The part in its own (B, 4) box of each of (B, C, H, W), resized to `size` pixels a side.

    Bilinear, in float32. Returns (B, C, size, size).
    """
    h, w = images.shape[2:]
    top, left, height, width = boxes.unbind(1)
    zero = torch.zeros_like(top)
    across = torch.stack([width / w, zero, (2 * left + width) / w - 1], dim=1)
    down = torch.stack([zero, height / h, (2 * top + height) / h - 1], dim=1)
    theta = torch.stack([across, down], dim=1)
    grid = F.affine_grid(theta, [len(images), 1, size, size], align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Turn each of (B, C, H, W) counter-clockwise by its own (B,) angle in radians.

    About its middle, bilinear; what comes in from outside is black.
    """
    h, w = images.shape[2:]
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    across = torch.stack([cos, -sin * (h / w), zero], dim=1)
    down = torch.stack([sin * (w / h), cos, zero], dim=1)
    theta = torch.stack([across, down], dim=1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def cutout(images: Tensor, centres: Tensor, size: int) -> Tensor:
    """Set a square of `size` pixels around each (B, 2) centre of (B, C, H, W) to 0, in place.

    DeVries and Taylor 2017: the square may reach over the edge, and 0 is the mean of
    normalised images.
    """
    rows, columns = (
        (torch.arange(n, device=images.device) - centre.unsqueeze(1) + size // 2)
        for n, centre in zip(images.shape[2:], centres.T, strict=True)
    )
    inside_rows = (rows >= 0) & (rows < size)
    inside_columns = (columns >= 0) & (columns < size)
    square = inside_rows.unsqueeze(2) & inside_columns.unsqueeze(1)
    return images.masked_fill_(square.unsqueeze(1), 0)


def rotate4(images: Tensor) -> Tensor:
    """Turn (B, C, H, H) by 0, 90, 180 and 270 degrees counter-clockwise: (4B, C, H, H).

    View j of image i is at 4i + j, and its joint label is 4y + j (LSSKD; HSAKD's order).
    UserError for images that are not square.
    """
    height, width = images.shape[2:]
    if height != width:
        raise UserError(
            f"images of {height}×{width} pixels cannot be turned by quarters; use square ones."
        )
    views = [torch.rot90(images, j, (2, 3)) for j in range(4)]
    return torch.stack(views, dim=1).flatten(0, 1)
