"""Auxiliary classifiers that watch a backbone from within."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone, pool


class Seen(NamedTuple):
    """What a head says: its last map (B, D, H, W), that one pooled (B, D), and logits."""

    feature: Tensor
    pooled: Tensor
    logits: Tensor


class AuxiliaryHead(nn.Module):
    """The stages that follow stage `stage`, drawn anew; pooling; a linear layer.

    The head after the last stage repeats that stage at stride 1, so that every head's pooled
    feature has the width D of the backbone's own (LSSKD, section III-A; HSAKD).
    """

    def __init__(self, student: StagedBackbone, stage: int, num_classes: int) -> None:
        super().__init__()
        last = len(student.stages) - 1
        if stage < last:
            stages = [student.make_stage(i) for i in range(stage + 1, last + 1)]
        else:
            stages = [student.make_stage(last, in_channels=student.channels[last], stride=1)]
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(student.channels[last], num_classes)

    def forward(self, feature: Tensor) -> Seen:
        """Of a stage's output (B, channels[stage], H, W)."""
        last = self.stages(feature)
        pooled = pool(last)
        return Seen(last, pooled, self.classifier(pooled))


class EarlyHeads(nn.ModuleList):
    """A head after every stage but the last, for the classes of the backbone (DKS; MixSKD)."""

    def __init__(self, student: StagedBackbone, num_classes: int) -> None:
        stages = range(len(student.stages) - 1)
        super().__init__(AuxiliaryHead(student, stage, num_classes) for stage in stages)

    def forward(self, features: Sequence[Tensor]) -> list[Seen]:
        """Of the outputs of all stages; what the last one gives is the backbone's to say."""
        return [head(feature) for head, feature in zip(self, features[:-1], strict=True)]
