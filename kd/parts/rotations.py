"""What a network says of images turned by quarters: joint classes of labels and turns."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kd.backbones.staged import Outputs, StagedBackbone
from kd.parts.heads import AuxiliaryHead
from kd.parts.losses import Number, cross_entropy, distillation_kl

M = 4
"""Rotations of every image."""


class Turned(NamedTuple):
    """What a network and its heads say of a batch, all M views of it.

    logits: z (B, M, C). joint_logits: q (B, L, M, M·C), of every head, class M·y + j for view j.
    """

    logits: Tensor
    joint_logits: Tensor


class JointHeads(nn.ModuleList):
    """A head after each of the last `count` stages, by default all, for label and rotation.

    Without `turns` they are for the label alone.
    """

    def __init__(
        self,
        network: StagedBackbone,
        num_classes: int,
        count: int | None = None,
        *,
        turns: bool = True,
    ) -> None:
        stages = range(len(network.stages))[-(count or len(network.stages)) :]
        width = M * num_classes if turns else num_classes
        super().__init__(AuxiliaryHead(network, stage, width) for stage in stages)

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Outputs of the stages for (M·B) views to pooled features (B, L, M, D) and q."""
        found = [head(stage)[1:] for head, stage in zip(self, stages[-len(self) :], strict=True)]
        pooled, joint = (
            torch.stack([by_image(tensor) for tensor in tensors], dim=1)
            for tensors in zip(*found, strict=True)
        )
        return pooled, joint

    def turned(self, outputs: Outputs) -> Turned:
        """What the network whose outputs these are and its heads say of (M·B) views."""
        _, joint = self(outputs.stages)
        return Turned(by_image(outputs.logits), joint)


def by_image(views: Tensor) -> Tensor:
    """(M·B, D) to (B, M, D)."""
    return views.view(-1, M, views.shape[1])


def joint_labels(labels: Tensor) -> Tensor:
    """M·y + j of labels (B,) and every view: (B, M)."""
    return M * labels.unsqueeze(1) + torch.arange(M, device=labels.device)


def sum_over_heads(values: Tensor) -> Tensor:
    """(B, heads, M) to the sum over heads of the mean over images and views."""
    return values.mean(dim=(0, 2)).sum()


def turned_cross_entropy(own: Turned, labels: Tensor) -> tuple[Tensor, Tensor]:
    """CE of the views that are not turned, and Σ_l CE of the heads, of labels (B,)."""
    joint = joint_labels(labels).unsqueeze(1).expand(own.joint_logits.shape[:-1])
    classes = cross_entropy(own.logits[:, 0], labels).mean()
    return classes, sum_over_heads(cross_entropy(own.joint_logits, joint))


def turned_divergence(
    own: Turned, taught: Turned, temperature: Number, soft: bool
) -> tuple[Tensor, Tensor]:
    """T²·KL_T(taught ‖ own) over all views, and its sum over the heads, paired one to one.

    `soft` as of `distillation_kl`; detach what teaches.
    """
    scale = temperature**2
    kl = distillation_kl(own.logits, taught.logits, temperature, soft=soft).mean()
    heads = distillation_kl(own.joint_logits, taught.joint_logits, temperature, soft=soft)
    return scale * kl, scale * sum_over_heads(heads)
