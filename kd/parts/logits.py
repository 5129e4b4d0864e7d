"""What methods take from two networks' logits beside KL: parts of it, relations, other scales.

As in `kd.parts.losses` a loss has one value a row, and is at least float32.
"""

import torch
from torch import Tensor

from kd.parts.gather import gathered
from kd.parts.losses import Number, distillation_kl, log_probabilities

ABSENT = -1e9
"""The logit, over its temperature, of a class that is left out."""


def standardised(logits: Tensor) -> Tensor:
    """Z(x) = (x − mean)/(σ + 10⁻⁷) over the classes, σ with C−1 (Sun et al. 2024, equation 9).

    logits (..., C). The gradient passes through both moments; a constant row becomes 0.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return (wide - wide.mean(-1, keepdim=True)) / (wide.std(-1, keepdim=True) + 1e-7)


def without(logits: Tensor, labels: Tensor, temperature: Number = 1.0) -> Tensor:
    """`logits` (..., C) in which the label's class has no part in a softmax at T."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    others = torch.ones_like(wide, dtype=torch.bool).scatter(-1, labels.unsqueeze(-1), False)
    return only(wide, others, temperature)


def only(logits: Tensor, kept: Tensor, temperature: Number = 1.0) -> Tensor:
    """`logits` in which the classes that are not `kept` have no part in a softmax at T."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return torch.where(kept, wide, ABSENT * temperature)


def one_and_rest(logits: Tensor, classes: Tensor, temperature: Number) -> Tensor:
    """The logits of (p, 1 − p), p = softmax(z/T) of one class: (..., 2) of (..., C).

    By logsumexp, so that neither is 0 where the other is nearly 1.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    one = wide.gather(-1, classes.unsqueeze(-1)).squeeze(-1)
    return torch.stack([one, torch.logsumexp(without(wide, classes), dim=-1)], dim=-1)


def one_and_rest_kl(
    student: Tensor, teacher: Tensor, of_student: Tensor, of_teacher: Tensor, temperature: Number
) -> Tensor:
    """KL of the two networks' (p, 1 − p), each of a class of its own: (...,) of (..., C)."""
    pair = one_and_rest(student, of_student, temperature)
    return distillation_kl(pair, one_and_rest(teacher, of_teacher, temperature), 1.0)


def label_cross_entropy(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """−p_t[y]·log p_s[y] at T 1."""
    index = labels.unsqueeze(-1)
    s, t = (log_probabilities(z).gather(-1, index).squeeze(-1) for z in (student, teacher))
    return -t.exp() * s


def others_cross_entropy(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: Number
) -> Tensor:
    """−Σ_{c≠y} q_t·log q_s, q the softmax at T over the classes but the label's."""
    log_s, log_t = (
        log_probabilities(without(z, labels, temperature), temperature) for z in (student, teacher)
    )
    return -(log_t.exp() * log_s).sum(-1)


def correlation_loss(
    student: Tensor, teacher: Tensor, temperature: Number
) -> tuple[Tensor, Tensor]:
    """τ²·(1 − ρ) of the rows, and of the columns, of both softmaxes (Huang et al. 2022, DIST).

    ρ(a, b) = ⟨ā, b̄⟩/(‖ā‖‖b̄‖ + 10⁻⁸), bars without their mean. Logits (B, C); two means. The
    columns are those of all workers' rows.
    """
    s, t = (log_probabilities(z, temperature).exp() for z in (student, teacher))
    rows = 1 - _correlation(s, t, -1).mean()
    columns = 1 - _correlation(gathered(s), gathered(t), 0).mean()
    return temperature**2 * rows, temperature**2 * columns


def _correlation(a: Tensor, b: Tensor, dim: int) -> Tensor:
    a, b = (x - x.mean(dim, keepdim=True) for x in (a, b))
    norms = torch.linalg.vector_norm(a, dim=dim) * torch.linalg.vector_norm(b, dim=dim)
    found: Tensor = (a * b).sum(dim) / (norms + 1e-8)
    return found
