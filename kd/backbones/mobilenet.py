"""MobileNetV2 (Sandler et al. 2018) for 32×32 images, in the form that DR-KD and Tf-KD train.

Against the ImageNet form: a 1×1 stem of stride 1 with padding 1, an expansion also where its
factor is 1, a bias in every convolution, and strides 2, 2, 2 in the 24, 32 and 64 channel rows.
"""

from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone, initialise

STEM_CHANNELS = 32
LAST_CHANNELS = 1280
# Rows of Sandler et al., table 2: expansion t, channels c, repeats n, stride s. They are cut
# into stages where RepDistiller and HSAKD read this network's features.
STAGES = (
    ((1, 16, 1, 1), (6, 24, 2, 2)),
    ((6, 32, 3, 2),),
    ((6, 64, 4, 2), (6, 96, 3, 1)),
    ((6, 160, 3, 1), (6, 320, 1, 1)),
)


def build(num_classes: int, in_channels: int, *, width: float) -> StagedBackbone:
    """MobileNetV2 with `width` times the channels; the last 1×1 convolution never narrows."""
    last = int(LAST_CHANNELS * max(width, 1.0))
    inner = [int(rows[-1][1] * width) for rows in STAGES]
    stem_channels = int(STEM_CHANNELS * width)

    def make_stage(
        index: int, in_channels: int | None = None, stride: int | None = None
    ) -> nn.Module:
        designed = inner[index - 1] if index else stem_channels
        before = in_channels or designed
        blocks: list[nn.Module] = []
        strided = max(STAGES[index], key=lambda row: row[3])
        for row in STAGES[index]:
            expansion, c, repeats, s = row
            if row is strided:
                s = stride or s
            after = int(c * width)
            for block_stride in (s, *[1] * (repeats - 1)):
                # The expanded width stays the design's own: six times the 1280 channels that
                # the head after the last stage is fed would outweigh the whole network.
                hidden = designed * expansion
                blocks.append(InvertedResidual(before, hidden, after, block_stride))
                before = designed = after
        if index == len(STAGES) - 1:
            blocks.append(conv_bn(before, last, activation=True))
        return nn.Sequential(*blocks).apply(initialise)

    stem = conv_bn(in_channels, stem_channels, padding=1, activation=True).apply(initialise)
    stages = [make_stage(i) for i in range(len(STAGES))]
    classifier = nn.Linear(last, num_classes)
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
    return StagedBackbone(
        stem, stages, classifier, channels=(*inner[:-1], last), make_stage=make_stage
    )


def conv_bn(
    in_channels: int,
    channels: int,
    kernel: int = 1,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    *,
    activation: bool,
) -> nn.Sequential:
    """A convolution and its BN, and ReLU6 where asked."""
    layers = nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, stride, padding, groups=groups),
        nn.BatchNorm2d(channels),
    )
    return layers.append(nn.ReLU6(inplace=True)) if activation else layers


class InvertedResidual(nn.Module):
    """1×1 expansion to `hidden`, 3×3 depthwise, linear 1×1 projection; plus a fitting input."""

    def __init__(self, in_channels: int, hidden: int, channels: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv_bn(in_channels, hidden, activation=True),
            conv_bn(hidden, hidden, 3, stride, padding=1, groups=hidden, activation=True),
            conv_bn(hidden, channels, activation=False),
        )
        self.has_shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        out: Tensor = self.residual(x)
        return x + out if self.has_shortcut else out
