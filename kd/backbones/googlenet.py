"""GoogLeNet (Szegedy et al. 2015) for 32×32 images, in the form that DR-KD and Tf-KD train.

A 3×3 stem of stride 1, two 3×3 convolutions for each 5×5, BN after every convolution, which has
a bias, and no dropout.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from kd.backbones.staged import Block, StagedBackbone, assemble, before_activation

STEM_CHANNELS = 192
# Table 1: #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj, of the modules 3a to 5b.
STAGES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
convolution: Any = partial(Conv2dNormActivation, bias=True)
"""With a bias – BN – ReLU; 3×3 if nothing else is said."""


def build(num_classes: int, in_channels: int, *, stem_stride: int = 1) -> StagedBackbone:
    """The network, its first convolution of `stem_stride`; a stage ends before a max-pooling."""

    def layers(index: int, in_channels: int, stride: int) -> list[nn.Module]:
        stage: list[nn.Module] = []
        if stride > 1:
            stage.append(nn.MaxPool2d(3, stride, padding=1))
        for row in STAGES[index]:
            stage.append(module := Inception(in_channels, *row))
            in_channels = module.channels
        return stage

    stem = convolution(in_channels, STEM_CHANNELS, stride=stem_stride)
    channels = (STEM_CHANNELS, *(row[0] + row[2] + row[4] + row[5] for *_, row in STAGES))
    return assemble(num_classes, stem, layers, channels=channels, strides=(1, 2, 2), he=False)


class Inception(Block):
    """Four branches side by side (figure 2b); each ends with a ReLU."""

    def __init__(
        self,
        in_channels: int,
        one: int,
        to_three: int,
        three: int,
        to_five: int,
        five: int,
        pooled: int,
    ) -> None:
        super().__init__()
        self.channels = one + three + five + pooled
        self.branches = nn.ModuleList(
            (
                convolution(in_channels, one, 1),
                nn.Sequential(convolution(in_channels, to_three, 1), convolution(to_three, three)),
                nn.Sequential(
                    convolution(in_channels, to_five, 1),
                    convolution(to_five, five),
                    convolution(five, five),
                ),
                nn.Sequential(nn.MaxPool2d(3, 1, padding=1), convolution(in_channels, pooled, 1)),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H, W)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)

    def pre_activation(self, x: Tensor) -> Tensor:
        """As `forward`, before the last ReLUs."""
        return torch.cat([before_activation(branch, x)[0] for branch in self.branches], dim=1)
