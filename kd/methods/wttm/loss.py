"""WTTM, Weighted Transformed Teacher Matching (Zheng and Yang 2024)."""

import torch
from torch import Tensor

from kd.methods.ttm.loss import TransformedTeacher


class WeightedTransformedTeacher(TransformedTeacher):
    """r·CE + b·U·KL(q ‖ p_s), equation 15, with U = Σ_c p_t[c]^γ of each sample."""

    def weights(self, power: Tensor) -> Tensor:
        """U (B,) of γ·log p_t (B, C)."""
        return torch.logsumexp(power, dim=-1).exp()


METHOD = WeightedTransformedTeacher
