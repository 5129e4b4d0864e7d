"""Wide ResNets for CIFAR (Zagoruyko and Komodakis 2016): pre-activation, three stages."""

from torch import Tensor, nn
from torch.nn import functional as F

from kd.backbones.staged import StagedBackbone, assemble, blocks

STEM_CHANNELS = 16


def build(num_classes: int, in_channels: int, *, depth: int, width: int) -> StagedBackbone:
    """WRN-`depth`-`width`, where depth = 6n + 4."""
    channels = (STEM_CHANNELS, 16 * width, 32 * width, 64 * width)

    def layers(index: int, in_channels: int, stride: int) -> list[nn.Module]:
        after, count = channels[index + 1], (depth - 4) // 6
        stage = blocks(PreActivationBlock, in_channels, after, stride, count)
        # The norm and activation before pooling are the last stage's, so that every
        # auxiliary head, which ends with a last stage, has its own.
        last = index == len(channels) - 2
        return [*stage, nn.BatchNorm2d(after), nn.ReLU(inplace=True)] if last else stage

    stem = nn.Conv2d(in_channels, STEM_CHANNELS, 3, padding=1, bias=False)
    network = assemble(num_classes, stem, layers, channels=channels, strides=(1, 2, 2))
    nn.init.zeros_(network.classifier.get_parameter("bias"))
    return network


class PreActivationBlock(nn.Module):
    """BN – ReLU – conv3×3 – BN – ReLU – conv3×3, plus the shortcut.

    A shortcut that changes shape is a 1×1 convolution of the activated input.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        activated = F.relu(self.bn1(x), inplace=True)
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        out: Tensor = self.conv2(F.relu(self.bn2(self.conv1(activated)), inplace=True))
        return out + shortcut
