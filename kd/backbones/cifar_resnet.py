"""The ResNets of He et al. 2016 for CIFAR (section 4.2), and RepDistiller's four times wider."""

from torch import Tensor, nn
from torch.nn import functional as F

from kd.backbones.staged import Block, StagedBackbone, assemble, blocks

CHANNELS = (16, 16, 32, 64)
"""Of the stem, then of the three stages."""


def build(
    num_classes: int, in_channels: int, *, depth: int, channels: tuple[int, ...] = CHANNELS
) -> StagedBackbone:
    """A network of `depth` = 6n + 2 layers; a shortcut that changes shape is a 1×1 convolution."""

    def layers(index: int, in_channels: int, stride: int) -> list[nn.Module]:
        return blocks(BasicBlock, in_channels, channels[index + 1], stride, (depth - 2) // 6)

    stem = nn.Sequential(
        nn.Conv2d(in_channels, channels[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(channels[0]),
        nn.ReLU(inplace=True),
    )
    return assemble(num_classes, stem, layers, channels=channels, strides=(1, 2, 2))


class BasicBlock(Block):
    """conv3×3 – BN – ReLU – conv3×3 – BN, plus the shortcut, then ReLU."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        return F.relu(self.pre_activation(x), inplace=True)

    def pre_activation(self, x: Tensor) -> Tensor:
        """As `forward`, before the last ReLU."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        total: Tensor = out + shortcut
        return total
