"""DenseNets (Huang et al. 2017) for 32×32 images: torchvision's blocks after a 3×3 stem.

The stem is one convolution of stride 1, and a stage a dense block with the transition before it.
"""

from torch import nn
from torchvision.models.densenet import _DenseBlock

from kd.backbones.staged import StagedBackbone, assemble

BOTTLENECK = 4
"""The width of a layer's 1×1 convolution, in growth rates."""


def build(
    num_classes: int,
    in_channels: int,
    *,
    depths: tuple[int, ...],
    growth: int,
    stem_stride: int = 1,
) -> StagedBackbone:
    """A DenseNet-BC of `depths[i]` layers in block i, each `growth` channels wide.

    Its first convolution is of `stem_stride`.
    """
    taken, channels = [2 * growth], [2 * growth]
    for depth in depths:
        channels.append(taken[-1] + depth * growth)
        taken.append(channels[-1] // 2)

    def layers(index: int, in_channels: int, stride: int) -> list[nn.Module]:
        stage: list[nn.Module] = []
        if in_channels != taken[index]:
            stage += [nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True)]
            stage.append(nn.Conv2d(in_channels, taken[index], 1, bias=False))
        if stride > 1:
            # A side that is odd is rounded up, so that a single pixel is left of one.
            stage.append(nn.AvgPool2d(stride, ceil_mode=True))
        stage.append(_DenseBlock(depths[index], taken[index], BOTTLENECK, growth, 0.0))
        if index == len(depths) - 1:
            stage += [nn.BatchNorm2d(channels[-1]), nn.ReLU(inplace=True)]
        return stage

    stem = nn.Conv2d(in_channels, taken[0], 3, stem_stride, padding=1, bias=False)
    strides = (1, 2, 2, 2)
    return assemble(num_classes, stem, layers, channels=channels, strides=strides, he=False)
