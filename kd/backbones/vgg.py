"""VGG for 32×32 images (Simonyan and Zisserman 2015) as RepDistiller has it.

BN, one linear layer, and no pooling before the last of the five blocks. The first block is the
stem, each of the others, with the pooling before it, a stage.
"""

from torch import nn
from torchvision.ops import Conv2dNormActivation

from kd.backbones.staged import StagedBackbone, assemble, blocks, draw_classifier

CHANNELS = (64, 128, 256, 512, 512)


def build(
    num_classes: int, in_channels: int, *, depths: tuple[int, ...], stem_stride: int = 1
) -> StagedBackbone:
    """A network of `depths[i]` convolutions in block i, the very first one of `stem_stride`."""

    def convolutions(block: int, in_channels: int, stride: int = 1) -> list[nn.Module]:
        return blocks(convolution, in_channels, CHANNELS[block], stride, depths[block])

    def layers(index: int, in_channels: int, stride: int) -> list[nn.Module]:
        # A side that is odd is rounded up, so that a single pixel is left of one.
        pooling = [nn.MaxPool2d(stride, ceil_mode=True)] if stride > 1 else []
        return [*pooling, *convolutions(index + 1, in_channels)]

    stem = nn.Sequential(*convolutions(0, in_channels, stem_stride))
    network = assemble(num_classes, stem, layers, channels=CHANNELS, strides=(2, 2, 2, 1))
    draw_classifier(network.classifier)
    return network


def convolution(in_channels: int, channels: int, stride: int) -> nn.Module:
    """conv3×3 with a bias – BN – ReLU."""
    layers: nn.Module = Conv2dNormActivation(in_channels, channels, 3, stride, bias=True)
    return layers
