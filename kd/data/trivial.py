"""TrivialAugment in its wide form (Müller and Hutter 2021), on whole batches.

torchvision's class draws one operation and one strength for all images that it is given; here
each image of a batch has its own. Every operation is done to all images, and each keeps the one
that it drew: so nothing waits for the device.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kd.data.colours import grey

OPERATIONS = (
    *("identity", "shear-x", "shear-y", "translate-x", "translate-y", "rotate", "brightness"),
    *("colour", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize"),
)
"""In the order in which torchvision's `TrivialAugmentWide` has them."""
STRENGTHS = 31
SHEAR, PIXELS, DEGREES, FACTOR, BITS = 0.99, 32, 135.0, 0.99, 6
"""The greatest strength of each kind: a slope, pixels, degrees, a share, bits that are lost."""


def draw(u: Tensor) -> Tensor:
    """An operation, a strength and a sign for each image from (3, N) numbers in 0 … 1: (N, 2).

    The operation's place in `OPERATIONS`, and a strength within ±1 of its greatest.
    """
    operation = (u[0] * len(OPERATIONS)).floor()
    strength = (u[1] * STRENGTHS).floor() / (STRENGTHS - 1)
    return torch.stack([operation, torch.where(u[2] < 0.5, -strength, strength)], dim=1)


def trivial(images: Tensor, drawn: Tensor) -> Tensor:
    """Change each of (B, C, H, W) uint8 by the operation and the strength drawn for it, (B, 2)."""
    # It takes as long to import as torch; few trainings need it.
    from torchvision.transforms.v2.functional import autocontrast_image, equalize_image

    operation, strength = drawn[:, 0].view(-1, 1, 1, 1), drawn[:, 1].view(-1, 1, 1, 1)
    changed = _moved(images, *drawn.unbind(1))
    colours = (
        *_blended(images, 1 + FACTOR * strength),
        _posterized(images, strength.abs()),
        torch.where(images >= _threshold(strength), 255 - images, images),
        autocontrast_image(images),
        equalize_image(images),
    )
    first = OPERATIONS.index("brightness")
    for number, coloured in enumerate(colours, start=first):
        changed = torch.where(operation == number, coloured, changed)
    return changed


def _moved(images: Tensor, operation: Tensor, strength: Tensor) -> Tensor:
    """Sheared, translated or turned, by the nearest pixel; what comes in from outside is black.

    An output pixel at (x, y) from the middle comes from (x, y)·m + t.
    """
    h, w = images.shape[2:]
    drew = {name: operation == number for number, name in enumerate(OPERATIONS)}
    slope, shift = SHEAR * strength, (PIXELS * strength).trunc()
    angle = torch.where(drew["rotate"], -math.radians(DEGREES) * strength, 0 * strength)
    cos, sin, none = angle.cos(), angle.sin(), 0 * strength
    # Shears leave the first row, or column, where it is.
    shear_x, shear_y = (torch.where(drew[f"shear-{n}"], slope, none) for n in "xy")
    shift_x, shift_y = (torch.where(drew[f"translate-{n}"], -shift, none) for n in "xy")
    across = torch.stack([cos, sin + shear_x, shift_x + shear_x * (h / 2)], dim=1)
    down = torch.stack([shear_y - sin, cos, shift_y + shear_y * (w / 2)], dim=1)
    x = torch.arange(w, device=images.device) - (w - 1) / 2
    y = torch.arange(h, device=images.device) - (h - 1) / 2
    at = torch.stack([x.expand(h, w), y.unsqueeze(1).expand(h, w), torch.ones_like(x.expand(h, w))])
    columns, rows = (torch.einsum("bk,khw->bhw", line, at) for line in (across, down))
    grid = torch.stack([columns * (2 / w), rows * (2 / h)], dim=3)
    moved = F.grid_sample(images.float(), grid, mode="nearest", align_corners=False)
    return moved.round().to(images.dtype)


def _blended(images: Tensor, factor: Tensor) -> tuple[Tensor, ...]:
    """Brightness, colour, contrast and sharpness multiplied by (B, 1, 1, 1) factors."""
    values = images.float()
    plain = grey(values).floor()
    mean = plain.mean(dim=(1, 2, 3), keepdim=True)
    smooth = values.clone()
    inner = values[..., 1:-1, 1:-1]
    if inner.numel():
        blurred = (9 * F.avg_pool2d(values, 3, stride=1) + 4 * inner) / 13
        smooth[..., 1:-1, 1:-1] = blurred.round()
    none = torch.zeros_like(plain)
    without = (none, plain if images.shape[1] == 3 else values, mean, smooth)
    return tuple((one + (values - one) * factor).clamp(0, 255).to(images.dtype) for one in without)


def _posterized(images: Tensor, strength: Tensor) -> Tensor:
    """Without the lowest 0 to 6 of their 8 bits."""
    lost = (BITS * strength).round()
    step = torch.exp2(lost)
    return ((images / step).floor() * step).to(images.dtype)


def _threshold(strength: Tensor) -> Tensor:
    """From which value on pixels are inverted: multiples of 255 / 30, without rounding errors."""
    steps = STRENGTHS - 1
    return 255 / steps * (steps - (steps * strength.abs()).round())
