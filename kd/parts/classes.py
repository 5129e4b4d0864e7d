"""How far two classes are from each other, as a trained network sees them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd.errors import UserError


def weight_distances(network: nn.Module) -> Tensor:
    """1 − cosine of the rows of a network's linear classifier, its last layer: (C, C).

    UserError where it has no linear layer.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise UserError(
            "kd.class_distance is weights, and the teacher has no linear classifier; set "
            "kd.class_distance=features."
        )
    rows = F.normalize(layers[-1].weight.detach().float(), dim=-1)
    return 1 - rows @ rows.T


def feature_distances(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """1 − CKA of the classes' features (B, D) with linear kernels (Kornblith et al. 2019): (C, C).

    With X_c the features of class c, each less its own mean, CKA is the inner product of X_iᵀX_i
    and X_jᵀX_j over both norms. It depends on neither the order of the images nor their number. A
    class without images has distance 1 from all others.
    """
    x = features.double()
    x = x - x.mean(-1, keepdim=True)
    of_class = F.one_hot(labels, num_classes).to(x.dtype)
    rows = [(x[labels == c] @ x.T).square().sum(0) @ of_class for c in range(num_classes)]
    inner = torch.stack(rows)
    norms = inner.diagonal().sqrt()
    cka = inner / (norms.unsqueeze(0) * norms.unsqueeze(1)).clamp(min=1e-30)
    return (1 - cka).fill_diagonal_(0.0).float()


def first_of_each(labels: Tensor, count: int) -> Tensor:
    """Whether a sample is among the first `count` of its class: (N,) bool of labels (N,)."""
    order = labels.argsort(stable=True)
    counts = labels.bincount()
    place = (
        torch.arange(len(labels), device=labels.device) - (counts.cumsum(0) - counts)[labels[order]]
    )
    return torch.empty_like(place).scatter(0, order, place) < count
