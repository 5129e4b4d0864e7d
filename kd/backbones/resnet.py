"""torchvision's ResNets for 32×32 images: a 3×3 stem of stride 1 and no max-pooling.

Beside them ResNeXt-29 (Xie et al. 2017, section 5.3), which is three stages of such blocks, and
the ResNeXt-18 of DTSKD's code: basic blocks that are twice as wide inside, and not grouped.
"""

from typing import Any

from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models.resnet import conv1x1, conv3x3

from kd.backbones.staged import Block, StagedBackbone, assemble, blocks

WIDTHS = (64, 128, 256, 512)


class _Watched(Block):
    """The layers of torchvision's blocks, by their names there."""

    conv1: nn.Module
    conv2: nn.Module
    conv3: nn.Module
    bn1: nn.Module
    bn2: nn.Module
    bn3: nn.Module
    relu: nn.Module
    downsample: nn.Module | None


class BasicBlock(resnet.BasicBlock, _Watched):  # type: ignore[misc]
    """torchvision's, which can be watched before its last ReLU, and be wider inside."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
    ) -> None:
        super().__init__(in_channels, channels, stride, downsample, groups)
        if (inside := channels * base_width // 64) != channels:
            self.conv1, self.bn1 = conv3x3(in_channels, inside, stride), nn.BatchNorm2d(inside)
            self.conv2 = conv3x3(inside, channels)

    def pre_activation(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        total: Tensor = out + (x if self.downsample is None else self.downsample(x))
        return total


class Bottleneck(resnet.Bottleneck, _Watched):  # type: ignore[misc]
    """torchvision's, which can be watched before its last ReLU."""

    def pre_activation(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, 4·channels, H/stride, W/stride)."""
        out = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        out = self.bn3(self.conv3(out))
        total: Tensor = out + (x if self.downsample is None else self.downsample(x))
        return total


BLOCKS: dict[str, Any] = {"basic": BasicBlock, "bottleneck": Bottleneck}


def build(
    num_classes: int,
    in_channels: int,
    *,
    block: str,
    depths: tuple[int, ...],
    groups: int = 1,
    base_width: int = 64,
    stem_stride: int = 1,
) -> StagedBackbone:
    """A ResNet of `depths[i]` blocks in stage i.

    Args:
        num_classes: of the classifier.
        in_channels: of the images.
        block: a key of `BLOCKS`.
        depths: as many as there are stages, three or four.
        groups: of the 3×3 convolutions.
        base_width: of each group, where a stage's width is 64.
        stem_stride: of the first convolution.
    """
    kind = BLOCKS[block]

    def make(before: int, after: int, stride: int) -> nn.Module:
        downsample = None
        if stride != 1 or before != after:
            downsample = nn.Sequential(conv1x1(before, after, stride), nn.BatchNorm2d(after))
        width = after // kind.expansion
        made: nn.Module = kind(before, width, stride, downsample, groups, base_width)
        return made

    def layers(index: int, in_channels: int, stride: int) -> list[nn.Module]:
        return blocks(make, in_channels, channels[index + 1], stride, depths[index])

    widths = WIDTHS[: len(depths)]
    channels = (WIDTHS[0], *(width * kind.expansion for width in widths))
    stem = nn.Sequential(
        conv3x3(in_channels, WIDTHS[0], stem_stride),
        nn.BatchNorm2d(WIDTHS[0]),
        nn.ReLU(inplace=True),
    )
    return assemble(num_classes, stem, layers, channels=channels, strides=(1, 2, 2, 2))


def torchvision_key(key: str) -> str:
    """The name that `torchvision.models.ResNet` gives to the parameter or buffer `key`."""
    module, _, rest = key.partition(".")
    if module == "classifier":
        return f"fc.{rest}"
    index, _, rest = rest.partition(".")
    if module == "stem":
        return f"{('conv1', 'bn1')[int(index)]}.{rest}"
    return f"layer{int(index) + 1}.{rest}"
