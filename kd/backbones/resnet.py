"""torchvision's ResNets for 32×32 images: a 3×3 stem of stride 1 and no max-pooling."""

from typing import Any

from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models.resnet import conv1x1, conv3x3

from kd.backbones.staged import Block, StagedBackbone, initialise

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
    """torchvision's, which can be watched before its last ReLU."""

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
    num_classes: int, in_channels: int, *, block: str, depths: tuple[int, ...]
) -> StagedBackbone:
    """A ResNet with `depths[i]` blocks in stage i; `block` is a key of `BLOCKS`."""
    make_block = BLOCKS[block]
    channels = tuple(width * make_block.expansion for width in WIDTHS)

    def make_stage(
        index: int, in_channels: int | None = None, stride: int | None = None
    ) -> nn.Module:
        before = in_channels or (channels[index - 1] if index else WIDTHS[0])
        stride = stride or (2 if index else 1)
        after = channels[index]
        downsample = None
        if stride != 1 or before != after:
            downsample = nn.Sequential(conv1x1(before, after, stride), nn.BatchNorm2d(after))
        first = make_block(before, WIDTHS[index], stride, downsample)
        rest = (make_block(after, WIDTHS[index]) for _ in range(depths[index] - 1))
        return nn.Sequential(first, *rest).apply(initialise)

    stem = nn.Sequential(
        conv3x3(in_channels, WIDTHS[0]), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU(inplace=True)
    ).apply(initialise)
    stages = [make_stage(i) for i in range(len(WIDTHS))]
    classifier = nn.Linear(channels[-1], num_classes)
    return StagedBackbone(stem, stages, classifier, channels=channels, make_stage=make_stage)


def torchvision_key(key: str) -> str:
    """The name that `torchvision.models.ResNet` gives to the parameter or buffer `key`."""
    module, _, rest = key.partition(".")
    if module == "classifier":
        return f"fc.{rest}"
    index, _, rest = rest.partition(".")
    if module == "stem":
        return f"{('conv1', 'bn1')[int(index)]}.{rest}"
    return f"layer{int(index) + 1}.{rest}"
