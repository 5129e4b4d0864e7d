"""ShuffleNet (Zhang et al. 2018) for 32×32 images, in RepDistiller's form: 3 groups, 1×1 stem."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.shufflenetv2 import channel_shuffle
from torchvision.ops import Conv2dNormActivation

from kd.backbones.staged import Block, StagedBackbone, assemble, blocks

CHANNELS = (24, 240, 480, 960)
GROUPS = 3


def build(num_classes: int, in_channels: int, *, depths: tuple[int, ...]) -> StagedBackbone:
    """A network of `depths[i]` units in stage i."""

    def layers(index: int, in_channels: int, stride: int) -> list[nn.Module]:
        designed, after = CHANNELS[index : index + 2]
        stage = blocks(Unit, designed, after, stride, depths[index])
        # The first unit keeps its input beside what it adds, so the width of that is fixed.
        fits = in_channels == designed
        return stage if fits else [Conv2dNormActivation(in_channels, designed, 1), *stage]

    stem = Conv2dNormActivation(in_channels, CHANNELS[0], 1)
    return assemble(num_classes, stem, layers, channels=CHANNELS, strides=(2, 2, 2), he=False)


class Unit(Block):
    """1×1 – BN – ReLU – shuffle – 3×3 depthwise – BN – ReLU – 1×1 – BN, the input, then ReLU.

    The input, pooled where the unit strides, is added, or kept beside it where the width grows.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.grows = in_channels != channels
        made = channels - in_channels if self.grows else channels
        # The stem's few channels are not grouped.
        self.groups = 1 if in_channels == CHANNELS[0] else GROUPS
        inside = made // 4
        self.reduce = Conv2dNormActivation(in_channels, inside, 1, groups=self.groups)
        self.depthwise = Conv2dNormActivation(inside, inside, 3, stride, groups=inside)
        self.expand = Conv2dNormActivation(inside, made, 1, groups=GROUPS, activation_layer=None)
        self.shortcut = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        return F.relu(self.pre_activation(x), inplace=True)

    def pre_activation(self, x: Tensor) -> Tensor:
        """As `forward`, before the last ReLU."""
        out = channel_shuffle(self.reduce(x), self.groups)
        out = self.expand(self.depthwise(out))
        kept = self.shortcut(x)
        total: Tensor = torch.cat((out, kept), dim=1) if self.grows else out + kept
        return total
