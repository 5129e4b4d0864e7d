"""Trained networks that others learn from."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from kd.backbones.staged import Outputs, StagedBackbone
from kd.data.device_loader import Statistics


class Teacher(nn.Module):
    """A trained network, in eval mode, which sees images normalised as in its own training.

    Args:
        network: what was trained.
        ours: the mean and deviation that images come normalised by.
        its: those that the network was trained with; None for the same.
        weight: how much its logits count among those of several teachers.
    """

    scale: Tensor
    offset: Tensor

    def __init__(
        self,
        network: StagedBackbone,
        ours: Statistics | None = None,
        its: Statistics | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.weight = weight
        self._other = ours is not None and its is not None and ours != its
        if ours is not None and its is not None and self._other:
            (mean, std), (its_mean, its_std) = (
                torch.tensor(s).view(2, -1, 1, 1) for s in (ours, its)
            )
            self.register_buffer("scale", std / its_std, persistent=False)
            self.register_buffer("offset", (mean - its_mean) / its_std, persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, C) of images (B, channels, H, W), without gradient."""
        logits: Tensor = self.network(self._seen(images))
        return logits

    @torch.no_grad()
    def outputs(self, images: Tensor) -> Outputs:
        """All that can be watched of it, without gradient."""
        return self.network.outputs(self._seen(images))

    def _seen(self, images: Tensor) -> Tensor:
        return images * self.scale + self.offset if self._other else images


def mean_logits(teachers: Iterable[nn.Module], images: Tensor) -> Tensor:
    """Σ w_i·z_i / Σ w_i of the logits of teachers of these weights: (B, C), float32 at least.

    Of one teacher its own logits, as they are.
    """
    known = [cast(Teacher, teacher) for teacher in teachers]
    if len(known) == 1:
        logits: Tensor = known[0](images)
        return logits
    whole = sum(teacher.weight for teacher in known)
    each = [teacher(images) for teacher in known]
    wide = [z.to(torch.promote_types(z.dtype, torch.float32)) for z in each]
    parts = [z * (teacher.weight / whole) for z, teacher in zip(wide, known, strict=True)]
    return torch.stack(parts).sum(0)
