"""ShuffleNetV2 (Ma et al. 2018) for 32×32 images: torchvision's units, RepDistiller's 1×1 stem."""

import torch
from torch import Tensor, nn
from torchvision.models import shufflenetv2
from torchvision.models.shufflenetv2 import channel_shuffle
from torchvision.ops import Conv2dNormActivation

from kd.backbones.staged import Block, StagedBackbone, assemble, before_activation, blocks

CHANNELS = (24, 116, 232, 464)
LAST_CHANNELS = 1024


def build(
    num_classes: int, in_channels: int, *, depths: tuple[int, ...], stem_stride: int = 1
) -> StagedBackbone:
    """A network of `depths[i]` units in stage i; the last 1×1 convolution is the last stage's."""

    def layers(index: int, in_channels: int, stride: int) -> list[nn.Module]:
        after = CHANNELS[index + 1]
        stage = blocks(Unit, in_channels, after, stride, depths[index])
        last = index == len(depths) - 1
        return [*stage, Conv2dNormActivation(after, LAST_CHANNELS, 1)] if last else stage

    # One that strides sees all pixels, as torchvision's does.
    stem = Conv2dNormActivation(in_channels, CHANNELS[0], 2 * stem_stride - 1, stem_stride)
    channels = (*CHANNELS[:-1], LAST_CHANNELS)
    return assemble(num_classes, stem, layers, channels=channels, strides=(2, 2, 2), he=False)


class Unit(shufflenetv2.InvertedResidual, Block):  # type: ignore[misc]
    """torchvision's, which can be watched before its ReLUs, and change the width alone."""

    branch1: nn.Sequential
    branch2: nn.Sequential
    stride: int

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        # Its stride says which form it has: 1 splits the channels, 2 has all in both branches.
        split = stride == 1 and in_channels == channels
        super().__init__(in_channels, channels, 1 if split else 2)
        if stride == 1:
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    module.stride = (1, 1)

    def pre_activation(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H/stride, W/stride).

        What is only passed on was activated before, so that a ReLU leaves it as it is.
        """
        kept, changed = x.chunk(2, dim=1) if self.stride == 1 else (x, x)
        parts = (
            before_activation(self.branch1, kept)[0],
            before_activation(self.branch2, changed)[0],
        )
        total: Tensor = channel_shuffle(torch.cat(parts, dim=1), 2)
        return total
