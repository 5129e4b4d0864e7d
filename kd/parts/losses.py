"""The losses that methods are made of: pure functions of tensors.

Each gives one value a row, shape (...) for logits (..., C); which rows are averaged, and which
summed, is the method's own. Half-precision logits are widened to float32 first.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Number = float | Tensor
"""A number of a loss; as a tensor of no dimensions it may change where it lies."""
SOFT = 64.0
"""The temperature above which two log-softmaxes differ by hardly more than their rounding."""


def product(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product, in the precision of its factors under autocast too."""
    with torch.autocast(a.device.type, enabled=False):
        return a @ b


def log_probabilities(logits: Tensor, temperature: Number | None = None) -> Tensor:
    """The logarithm of softmax(logits / T) over the last dimension, in float32 at least.

    T is 1 where none is given.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return torch.log_softmax(wide if temperature is None else wide / temperature, dim=-1)


def probabilities(logits: Tensor) -> Tensor:
    """softmax(logits) over the last dimension, in float32 at least, without gradient."""
    return log_probabilities(logits.detach()).exp()


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: Number | None = None) -> Tensor:
    """−Σ_c y_c·log softmax(z)_c with y = (1−ε)·onehot + ε/C (Szegedy et al. 2016, section 7).

    logits: (..., C). labels: (...) int64, or probabilities (..., C) in the place of onehot, of
    images that are mixed. smoothing: ε, None for 0; more than 1 is possible too.
    """
    log_p = log_probabilities(logits)
    if labels.is_floating_point():
        hard = -(labels * log_p).sum(-1)
    else:
        hard = -log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return hard if smoothing is None else (1 - smoothing) * hard - smoothing * log_p.mean(-1)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """−Σ_c y_c·log softmax(z)_c for probabilities y (..., C)."""
    return -(targets * log_probabilities(logits)).sum(-1)


def soft_targets(labels: Tensor, past: Tensor, weight: Number) -> Tensor:
    """(1−w)·onehot(y) + w·p: PS-KD, LSSKD equations 1 and 2, DTSKD equation 6 with w = 1−β.

    labels: int64 that broadcasts to (...). past: probabilities p (..., C). Returns (..., C).
    """
    index = labels.expand(past.shape[:-1]).unsqueeze(-1)
    hard = torch.as_tensor(1 - weight, dtype=past.dtype, device=past.device).expand(index.shape)
    return (weight * past).scatter_add_(-1, index, hard)


def target_kl(logits: Tensor, targets: Tensor) -> Tensor:
    """KL(y ‖ softmax(z)) = Σ_c y_c·(log y_c − log softmax(z)_c) for probabilities y (..., C).

    Its gradient is that of `soft_cross_entropy`; its value is 0 where the target is met.
    """
    negative_entropy: Tensor = torch.special.xlogy(targets, targets).sum(-1)
    return negative_entropy + soft_cross_entropy(logits, targets)


def distillation_kl(
    student_logits: Tensor, teacher_logits: Tensor, temperature: Number, *, soft: bool | None = None
) -> Tensor:
    """KL_T(t‖s) = Σ_c softmax(t/T)_c·(log softmax(t/T)_c − log softmax(s/T)_c), no T² factor.

    Hinton et al. 2015, section 2. Both (..., C), broadcast against each other. Gradient flows
    into both; detach the one that teaches.

    Value and gradient keep the logits' precision up to T = 10¹²: T²·KL_T tends to half the
    variance of t − s over the classes. `soft` says that T is above `SOFT`, where that takes
    another form; of a T that lies on a device it must be said, as nobody waits for it.
    """
    if soft is None:
        assert not isinstance(temperature, Tensor), "say whether a temperature on a device is soft"
        soft = temperature > SOFT
    if soft:
        wide = torch.promote_types(student_logits.dtype, torch.float32)
        both = (student_logits.double(), teacher_logits.double())
        student, teacher = torch.broadcast_tensors(*both)  # type: ignore[no-untyped-call]
        kl: Tensor = _SoftKL.apply(student, teacher, temperature)
        return kl.to(wide)
    log_student = log_probabilities(student_logits, temperature)
    log_teacher = log_probabilities(teacher_logits, temperature)
    return (log_teacher.exp() * (log_teacher - log_student)).sum(-1)


class _SoftKL(torch.autograd.Function):
    """KL_T(t‖s) of float64 logits, by x = log(q/p), p of the teacher and q of the student.

    The difference of two logarithms of softmax forgets an x that is small beside them. The
    logits' own difference does not, up to a constant of the row, and that constant is what makes
    q sum to 1. KL is then the sum of p·(eˣ − 1 − x), whose terms are all positive.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, temperature: Number) -> Tensor:
        log_q, log_p = (torch.log_softmax(z / temperature, dim=-1) for z in (student, teacher))
        p, q = log_p.exp(), log_q.exp()
        x = (student - teacher) / temperature
        x = x - (p * (x - log_q + log_p)).sum(-1, keepdim=True)
        x = x - torch.log1p(_difference(x, p, q).sum(-1, keepdim=True))
        difference = _difference(x, p, q)
        # Below 10⁻³ the series is good to 10⁻¹⁵, above it the other form to 10⁻¹².
        series = p * x.square() * (1 / 2 + x * (1 / 6 + x * (1 / 24 + x * (1 / 120))))
        kl = torch.where(x.abs() < 1e-3, series, difference - p * x).sum(-1)
        ctx.save_for_backward(difference, p, x, kl)
        ctx.temperature = temperature
        return kl

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        difference, p, x, kl = ctx.saved_tensors
        scale = above.unsqueeze(-1) / ctx.temperature
        student = scale * difference if ctx.needs_input_grad[0] else None
        teacher = -scale * p * (x + kl.unsqueeze(-1)) if ctx.needs_input_grad[1] else None
        return student, teacher, None


def _difference(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Q − p for x = log(q/p), as precise as x where they are close."""
    return -x.sign() * torch.maximum(p, q) * torch.expm1(-x.abs())


def rectify(teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """Where the highest logit is not the label's, swap the two (DR-KD, equation 3).

    teacher_logits: (B, C). labels: (B,) int64. Returns (B, C).
    """
    highest, predicted = teacher_logits.max(dim=-1, keepdim=True)
    label = labels.unsqueeze(-1)
    swapped = teacher_logits.scatter(-1, predicted, teacher_logits.gather(-1, label))
    return swapped.scatter_(-1, label, highest)


def feature_distance(features: Tensor, target: Tensor) -> Tensor:
    """‖f − g‖² over the last dimension (LSSKD, equation 8); (..., D) against what broadcasts."""
    wide = torch.promote_types(features.dtype, torch.float32)
    return (features.to(wide) - target.to(wide)).square().sum(-1)
