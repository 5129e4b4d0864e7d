"""Colours of whole batches."""

from torch import Tensor


def colour(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply brightness, contrast and saturation of (B, C, H, W) in 0 … 255 by (B, 3) factors.

    One after the other, each kept within 0 … 255, as torchvision's `adjust_…` do. An image of one
    channel is its own grey.
    """
    brightness, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)
    images = (images * brightness).clamp_(0, 255)
    mean = grey(images).mean(dim=(1, 2, 3), keepdim=True)
    images = (mean + (images - mean) * contrast).clamp_(0, 255)
    plain = grey(images)
    return (plain + (images - plain) * saturation).clamp_(0, 255)


def grey(images: Tensor) -> Tensor:
    """(B, 3, H, W) or (B, 1, H, W) to (B, 1, H, W), by ITU-R BT.601."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    return 0.2989 * images[:, :1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:]
