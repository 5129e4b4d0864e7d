"""MobileNetV2 (Sandler et al. 2018) for 32×32 images, in the two forms that papers train.

Against the ImageNet form both expand also where the factor is 1. That of DR-KD and Tf-KD has a
1×1 stem of stride 1 with padding 1, a bias in every convolution, ReLU6, and strides 2, 2, 2 in
the 24, 32 and 64 channel rows. That of RepDistiller has a 3×3 stem, ReLU, and the ImageNet form's
strides in the 32, 64 and 160 channel rows.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone, assemble, draw_classifier

STEM_CHANNELS = 32
LAST_CHANNELS = 1280


@dataclass(frozen=True)
class Form:
    """What the two forms differ in.

    Attributes:
        stem: the kernel of the first convolution; its padding is 1.
        bias: whether convolutions have one.
        activation: after each but the last of a block.
        strides: of every stage.
    """

    stem: int
    bias: bool
    activation: type[nn.Module]
    strides: tuple[int, ...]


FORMS = {
    "drkd": Form(1, True, nn.ReLU6, (2, 2, 2, 1)),
    "repdistiller": Form(3, False, nn.ReLU, (1, 2, 2, 2)),
}
# Rows of Sandler et al., table 2: expansion t, channels c, repeats n. They are cut into stages
# where RepDistiller and HSAKD read this network's features.
STAGES = (
    ((1, 16, 1), (6, 24, 2)),
    ((6, 32, 3),),
    ((6, 64, 4), (6, 96, 3)),
    ((6, 160, 3), (6, 320, 1)),
)
STRIDED = (1, 0, 0, 0)
"""The row of each stage that takes its stride."""


def build(
    num_classes: int, in_channels: int, *, width: float, form: str = "drkd", stem_stride: int = 1
) -> StagedBackbone:
    """MobileNetV2 with `width` times the channels; the last 1×1 convolution never narrows.

    Args:
        num_classes: of the classifier.
        in_channels: of the images.
        width: what channels are multiplied by.
        form: a key of `FORMS`.
        stem_stride: of the first convolution; RepDistiller's own is 2.
    """
    own = FORMS[form]
    channels = [int(c * width) for c in (STEM_CHANNELS, *(rows[-1][1] for rows in STAGES))]
    last = channels[-1] = int(LAST_CHANNELS * max(width, 1.0))

    def layers(index: int, in_channels: int, stride: int) -> list[nn.Module]:
        designed, before = channels[index], in_channels
        found: list[nn.Module] = []
        for row, (expansion, c, repeats) in enumerate(STAGES[index]):
            first = stride if row == STRIDED[index] else 1
            after = int(c * width)
            for block_stride in (first, *[1] * (repeats - 1)):
                # The expanded width stays the design's own: six times the 1280 channels that
                # the head after the last stage is fed would outweigh the whole network.
                hidden = designed * expansion
                found.append(InvertedResidual(own, before, hidden, after, block_stride))
                before = designed = after
        if index == len(STAGES) - 1:
            found.append(nn.Sequential(*conv_bn(own, before, last)))
        return found

    stem = nn.Sequential(*conv_bn(own, in_channels, channels[0], own.stem, stem_stride, 1))
    network = assemble(num_classes, stem, layers, channels=channels, strides=own.strides)
    draw_classifier(network.classifier)
    return network


def conv_bn(
    form: Form,
    in_channels: int,
    channels: int,
    kernel: int = 1,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> list[nn.Module]:
    """A convolution, its BN and the form's activation."""
    return [
        nn.Conv2d(in_channels, channels, kernel, stride, padding, groups=groups, bias=form.bias),
        nn.BatchNorm2d(channels),
        form.activation(inplace=True),
    ]


class InvertedResidual(nn.Module):
    """1×1 expansion to `hidden`, 3×3 depthwise, linear 1×1 projection; plus a fitting input."""

    def __init__(
        self, form: Form, in_channels: int, hidden: int, channels: int, stride: int
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Sequential(*conv_bn(form, in_channels, hidden)),
            nn.Sequential(*conv_bn(form, hidden, hidden, 3, stride, padding=1, groups=hidden)),
            nn.Sequential(*conv_bn(form, hidden, channels)[:-1]),
        )
        self.has_shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        out: Tensor = self.residual(x)
        return x + out if self.has_shortcut else out
