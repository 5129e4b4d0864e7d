"""AT, Attention Transfer (Zagoruyko & Komodakis 2017)."""

import torch
from torch import Tensor

from kd.backbones.staged import Outputs
from kd.methods.at.config import Config
from kd.methods.base import Batch
from kd.methods.taught import FeatureDistillation, pairs
from kd.parts.relations import attention_distance


class AttentionTransfer(FeatureDistillation[Config]):
    """L compares the attention maps of each pair of stages, summed."""

    def features(self, own: Outputs, taught: Outputs, batch: Batch) -> Tensor:
        """L of both networks' outputs for a batch."""
        each = [attention_distance(*pair) for pair in pairs(own, taught)]
        return torch.stack(each).sum()


METHOD = AttentionTransfer
