"""The form that every backbone takes: stem → stages → pooled feature → classifier."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn


class StageFactory(Protocol):
    """Makes stage `index` anew, with other input channels or another stride if asked."""

    def __call__(
        self, index: int, in_channels: int | None = None, stride: int | None = None
    ) -> nn.Module:
        """A stage with weights freshly drawn."""
        ...


class StagedBackbone(nn.Module):
    """A classifier whose stages can be watched, and made anew for auxiliary heads.

    Args:
        stem: images (B, C, H, W) to the input of the first stage.
        stages: each halves the resolution or keeps it; the last one ends with whatever
            the family puts before pooling (a norm, an activation, a 1×1 convolution).
        classifier: pooled feature (B, D) to logits (B, num_classes).
        channels: the width of each stage's output; `channels[-1]` is D.
        make_stage: a fresh stage of the same form, its weights drawn as the family draws them.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        classifier: nn.Module,
        *,
        channels: Sequence[int],
        make_stage: StageFactory,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.classifier = classifier
        self.channels = tuple(channels)
        self.make_stage = make_stage

    def features(self, images: Tensor) -> list[Tensor]:
        """The output of every stage, (B, channels[i], H_i, W_i), shallow to deep."""
        x = self.stem(images)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs

    def classify(self, feature: Tensor) -> Tensor:
        """Logits (B, num_classes) from the last stage's output."""
        logits: Tensor = self.classifier(pool(feature))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        x = self.stem(images)
        for stage in self.stages:
            x = stage(x)
        return self.classify(x)


def pool(feature: Tensor) -> Tensor:
    """Global average pooling: (B, D, H, W) to (B, D)."""
    return feature.mean(dim=(2, 3))


def initialise(module: nn.Module) -> None:
    """Draw a convolution's weights as He et al. 2015 do, normal over its outputs; for `apply`.

    torchvision's ResNet and MobileNetV2 and the authors' Wide ResNet all draw them so.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
