"""Auxiliary classifiers that watch a backbone from within."""

from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone, pool


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

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Stage output (B, channels[stage], H, W) to its pooled feature (B, D) and logits."""
        pooled = pool(self.stages(feature))
        return pooled, self.classifier(pooled)
