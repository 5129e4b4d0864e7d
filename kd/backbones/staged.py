"""The form that every backbone takes: stem → stages → pooled feature → classifier."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StageFactory(Protocol):
    """Makes stage `index` anew, with other input channels or another stride if asked.

    Whatever it takes, it gives `channels[index]`: a family whose stages widen their input
    (densely connected ones) begins them with a convolution to the input that they are made for.
    """

    def __call__(
        self, index: int, in_channels: int | None = None, stride: int | None = None
    ) -> nn.Module:
        """A stage with weights freshly drawn."""
        ...


class Block(nn.Module):
    """A block that ends with a ReLU, and can be watched before it."""

    def pre_activation(self, x: Tensor) -> Tensor:
        """What the block gives for `x`, before its last ReLU."""
        raise NotImplementedError


class Outputs(NamedTuple):
    """Everything that a backbone says of images on the way; of L stages, shallow to deep.

    stem: (B, C_0, H_0, W_0). stages: each (B, channels[i], H_i, W_i). pre_activations: the same
    before the last activation of each, where a stage ends with one (AB; AT and CRD read
    `stages`). pooled: (B, D). logits: (B, num_classes).
    """

    stem: Tensor
    stages: tuple[Tensor, ...]
    pre_activations: tuple[Tensor, ...]
    pooled: Tensor
    logits: Tensor


class StagedBackbone(nn.Module):
    """A classifier whose stages can be watched, and made anew for auxiliary heads.

    Args:
        stem: images (B, C, H, W) to the input of the first stage.
        stages: each halves the resolution or keeps it; the last one ends with whatever
            the family puts before pooling (a norm, an activation, a 1×1 convolution).
            None of a network that is taken as a whole.
        classifier: pooled feature (B, D) to logits (B, num_classes).
        channels: the width of each stage's output; `channels[-1]` is D.
        make_stage: a fresh stage of the same form, its weights drawn as the family draws them.
        pools: whether the last stage's output is averaged before the classifier; else that takes
            it as it is, and does all that is left.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        classifier: nn.Module,
        *,
        channels: Iterable[int],
        make_stage: StageFactory,
        pools: bool = True,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.classifier = classifier
        self.channels = tuple(channels)
        self.make_stage = make_stage
        self.pools = pools

    def features(self, images: Tensor) -> list[Tensor]:
        """The output of every stage, (B, channels[i], H_i, W_i), shallow to deep."""
        x = self.stem(images)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs

    def outputs(self, images: Tensor) -> Outputs:
        """All that can be watched; its logits are those of `forward`, to the last bit."""
        stem = x = self.stem(images)
        stages, before = [], []
        for stage in self.stages:
            value, activation = before_activation(stage, x)
            x = activation(value)
            before.append(value)
            stages.append(x)
        pooled = pool(x)
        logits = self.classifier(pooled if self.pools else x)
        return Outputs(stem, tuple(stages), tuple(before), pooled, logits)

    @torch.no_grad()
    def shapes(self, in_channels: int, size: tuple[int, int]) -> Outputs:
        """What `outputs` gives for one image of `size` (H, W), for its shapes alone; by a dry run.

        A method that needs the widths or the resolutions of stages asks here, when it is built.
        """
        training = self.training
        device = next(self.parameters()).device
        try:
            return self.eval().outputs(torch.zeros(1, in_channels, *size, device=device))
        finally:
            self.train(training)

    def classify(self, feature: Tensor) -> Tensor:
        """Logits (B, num_classes) from the last stage's output."""
        logits: Tensor = self.classifier(pool(feature) if self.pools else feature)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        x = self.stem(images)
        for stage in self.stages:
            x = stage(x)
        return self.classify(x)


class Layers(Protocol):
    """The layers of stage `index`, which takes `in_channels` and strides by `stride`."""

    def __call__(self, index: int, in_channels: int, stride: int) -> Iterable[nn.Module]:
        """Layers with weights freshly drawn, in their order."""
        ...


def assemble(
    num_classes: int,
    stem: nn.Module,
    layers: Layers,
    *,
    channels: Sequence[int],
    strides: Sequence[int],
    he: bool = True,
) -> StagedBackbone:
    """A network of a stem, stages of `layers`, and a linear classifier.

    Args:
        num_classes: of the classifier.
        stem: images to the input of the first stage.
        layers: of a stage.
        channels: of the stem's output, then of every stage's.
        strides: of every stage, or of more than there are.
        he: whether convolutions are drawn by `initialise`; else as PyTorch draws them.
    """

    def drawn(module: nn.Module) -> nn.Module:
        return module.apply(initialise) if he else module

    def make_stage(
        index: int, in_channels: int | None = None, stride: int | None = None
    ) -> nn.Module:
        made = layers(index, in_channels or channels[index], stride or strides[index])
        return drawn(nn.Sequential(*made))

    drawn(stem)
    stages = [make_stage(index) for index in range(len(channels) - 1)]
    classifier = nn.Linear(channels[-1], num_classes)
    return StagedBackbone(stem, stages, classifier, channels=channels[1:], make_stage=make_stage)


def blocks(
    make: Callable[[int, int, int], nn.Module], before: int, after: int, stride: int, count: int
) -> list[nn.Module]:
    """`count` of `make(in_channels, channels, stride)`; the first one alone changes the shape."""
    return [make(before, after, stride), *(make(after, after, 1) for _ in range(count - 1))]


def pool(feature: Tensor) -> Tensor:
    """Global average pooling: (B, D, H, W) to (B, D)."""
    return feature.mean(dim=(2, 3))


def before_activation(module: nn.Module, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """What `module` gives for `x` before its last activation, and that activation.

    A `Block` ends with one. Where there is none, the activation leaves
    everything as it is.
    """
    if isinstance(module, nn.Sequential) and len(module):
        *front, last = module
        for part in front:
            x = part(x)
        return before_activation(last, x)
    if isinstance(module, nn.ReLU):
        return x, F.relu
    if isinstance(module, nn.ReLU6):
        return x, F.relu6
    if isinstance(module, Block):
        return module.pre_activation(x), F.relu
    return module(x), nn.Identity()


def initialise(module: nn.Module) -> None:
    """Draw a convolution's weights as He et al. 2015 do, normal over its outputs; for `apply`.

    torchvision's ResNet and MobileNetV2 and the authors' Wide ResNet all draw them so.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def draw_classifier(classifier: nn.Module) -> None:
    """Draw a linear classifier of deviation 0.01 and bias 0, as MobileNets and VGGs do."""
    nn.init.normal_(classifier.get_parameter("weight"), std=0.01)
    nn.init.zeros_(classifier.get_parameter("bias"))
