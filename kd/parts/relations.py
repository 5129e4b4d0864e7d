"""What two networks' features have in common: maps, similarities, distances, angles.

Every loss is one number, at least float32. What relates the samples of a batch takes those of all
workers.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from kd.parts.gather import gathered
from kd.parts.losses import Number, product


def wide(features: Tensor) -> Tensor:
    """Half-precision features in float32."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both feature maps (B, C, H, W), the larger one pooled to the size of the smaller."""
    height = min(student.shape[2], teacher.shape[2])
    width = min(student.shape[3], teacher.shape[3])
    first, second = (
        f if f.shape[2:] == (height, width) else F.adaptive_avg_pool2d(f, (height, width))
        for f in (wide(student), wide(teacher))
    )
    return first, second


def attention_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean squared difference of ‖·‖-normalised maps of mean f² (Zagoruyko & Komodakis 2017).

    Feature maps (B, C, H, W) of any widths; their sizes are made equal.
    """
    first, second = (
        F.normalize(f.square().mean(1).flatten(1)) for f in same_size(student, teacher)
    )
    return (first - second).square().mean()


def similarity_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """‖G_t − G_s‖²_F/B² of row-normalised Gram matrices (Tung & Mori 2019, equation 4).

    Features (B, …) of any form.
    """
    grams = []
    for features in (student, teacher):
        rows = gathered(wide(features).flatten(1))
        grams.append(F.normalize(product(rows, rows.T)))
    return (grams[0] - grams[1]).square().mean()


def distance_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 of the distances of samples, over their mean (Park et al. 2019, equation 5).

    Features (B, D), of any D each.
    """
    first, second = (_over_their_mean(distances(gathered(wide(f)))) for f in (student, teacher))
    return F.smooth_l1_loss(first, second)


def angle_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 of the cosines of the angles that three samples make (Park et al. 2019, 7)."""
    cosines = []
    for features in (student, teacher):
        rows = gathered(wide(features))
        apart = F.normalize(rows.unsqueeze(0) - rows.unsqueeze(1), dim=2)
        cosines.append(product(apart, apart.transpose(1, 2)))
    return F.smooth_l1_loss(cosines[0], cosines[1])


def adjacent_correlation(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean of Σ_d |Δ_i|·|Δ_{i+1}|, Δ the difference of both embeddings (B, D) of a sample.

    As RepDistiller computes CC (Peng et al. 2019): of samples that follow each other in the batch.
    """
    apart = gathered((wide(student) - wide(teacher)).abs())
    pairs = (apart[:-1] * apart[1:]).sum(1)
    return pairs.sum() / max(len(apart) - 1, 1)


def boundary_distance(student: Tensor, teacher: Tensor, margin: Number) -> Tensor:
    """How far the student's activations are on the wrong side (Heo et al. 2019, equation 3).

    Values before an activation, both (B, C, H, W): squared distances to the margin, the mean over
    samples of the sum.
    """
    s, t = same_size(student, teacher)
    off = (s + margin).square() * ((s > -margin) & (t <= 0))
    on = (s - margin).square() * ((s <= margin) & (t > 0))
    return (off + on).sum() / len(s)


def distances(rows: Tensor) -> Tensor:
    """Of every two rows: (B, B) of (B, D)."""
    norms = rows.square().sum(1)
    squares = norms.unsqueeze(1) + norms.unsqueeze(0) - 2 * product(rows, rows.T)
    others = 1 - torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
    return squares.clamp(min=1e-12).sqrt() * others


def _over_their_mean(found: Tensor) -> Tensor:
    """Over the mean of those above 0."""
    count = (found > 0).sum().clamp(min=1)
    return found / (found.sum() / count).clamp(min=1e-12)
