"""SE-ResNets for 32×32 images (Hu et al. 2018) in the form of DTSKD's code.

Against torchvision's ResNet: a bias in every convolution, and a ReLU before the excitation.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import Conv2dNormActivation, SqueezeExcitation

from kd.backbones.staged import Block, StagedBackbone, assemble, blocks

CHANNELS = (64, 64, 128, 256, 512)
REDUCTION = 16
convolution: Any = partial(Conv2dNormActivation, bias=True)
"""With a bias – BN – ReLU; 3×3 if nothing else is said."""


def build(num_classes: int, in_channels: int, *, depths: tuple[int, ...]) -> StagedBackbone:
    """A network of `depths[i]` blocks in stage i."""

    def layers(index: int, in_channels: int, stride: int) -> list[nn.Module]:
        return blocks(ExcitedBlock, in_channels, CHANNELS[index + 1], stride, depths[index])

    stem = convolution(in_channels, CHANNELS[0])
    channels, strides = CHANNELS[: len(depths) + 1], (1, 2, 2, 2)
    return assemble(num_classes, stem, layers, channels=channels, strides=strides, he=False)


class ExcitedBlock(Block):
    """conv3×3 – BN – ReLU, twice; channels weighted by excitation; the shortcut; ReLU."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            convolution(in_channels, channels, stride=stride),
            convolution(channels, channels),
            SqueezeExcitation(channels, channels // REDUCTION),
        )
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = convolution(in_channels, channels, 1, stride, activation_layer=None)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        return F.relu(self.pre_activation(x), inplace=True)

    def pre_activation(self, x: Tensor) -> Tensor:
        """As `forward`, before the last ReLU."""
        total: Tensor = self.residual(x) + (x if self.shortcut is None else self.shortcut(x))
        return total
