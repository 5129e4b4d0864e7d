"""ResNets of pre-activation (He et al. 2016, Identity Mappings) in the form of CS-KD's code.

The stem ends with a norm and a ReLU, and the last stage with neither.
"""

from torch import nn

from kd.backbones.staged import StagedBackbone, assemble, blocks
from kd.backbones.wide_resnet import PreActivationBlock

CHANNELS = (64, 64, 128, 256, 512)


def build(num_classes: int, in_channels: int, *, depths: tuple[int, ...]) -> StagedBackbone:
    """A network of `depths[i]` blocks in stage i."""

    def layers(index: int, in_channels: int, stride: int) -> list[nn.Module]:
        after = CHANNELS[index + 1]
        return blocks(PreActivationBlock, in_channels, after, stride, depths[index])

    stem = nn.Sequential(
        nn.Conv2d(in_channels, CHANNELS[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(CHANNELS[0]),
        nn.ReLU(inplace=True),
    )
    channels, strides = CHANNELS[: len(depths) + 1], (1, 2, 2, 2)
    return assemble(num_classes, stem, layers, channels=channels, strides=strides, he=False)
