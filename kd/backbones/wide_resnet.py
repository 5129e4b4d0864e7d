"""Wide ResNets for CIFAR (Zagoruyko and Komodakis 2016): pre-activation, three stages."""

from torch import Tensor, nn
from torch.nn import functional as F

from kd.backbones.staged import StagedBackbone, initialise

STEM_CHANNELS = 16


def build(num_classes: int, in_channels: int, *, depth: int, width: int) -> StagedBackbone:
    """WRN-`depth`-`width`, where depth = 6n + 4."""
    blocks = (depth - 4) // 6
    channels = (16 * width, 32 * width, 64 * width)

    def make_stage(
        index: int, in_channels: int | None = None, stride: int | None = None
    ) -> nn.Module:
        before = in_channels or (channels[index - 1] if index else STEM_CHANNELS)
        after = channels[index]
        first = PreActivationBlock(before, after, stride or (2 if index else 1))
        stage = nn.Sequential(
            first, *(PreActivationBlock(after, after, 1) for _ in range(blocks - 1))
        )
        # The norm and activation before pooling are the last stage's, so that every
        # auxiliary head, which ends with a last stage, has its own.
        if index == len(channels) - 1:
            stage.extend([nn.BatchNorm2d(after), nn.ReLU(inplace=True)])
        return stage.apply(initialise)

    stem = nn.Conv2d(in_channels, STEM_CHANNELS, 3, padding=1, bias=False).apply(initialise)
    stages = [make_stage(i) for i in range(len(channels))]
    classifier = nn.Linear(channels[-1], num_classes)
    nn.init.zeros_(classifier.bias)
    return StagedBackbone(stem, stages, classifier, channels=channels, make_stage=make_stage)


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
