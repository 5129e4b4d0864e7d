"""How good a network is, and how close to its teacher. Pure functions of tensors.

logits: (N, C) float; labels: (N,) int64. Every function returns a scalar tensor on the
device of its inputs, so that a caller decides when to wait for it.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def accuracy(logits: Tensor, labels: Tensor, k: int = 1) -> Tensor:
    """Percent of samples whose label is among the k largest logits (all of them, if C < k)."""
    top = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return 100 * (top == labels.unsqueeze(1)).any(dim=1).to(logits.dtype).mean()


def negative_log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean −log p(label), in nats."""
    return F.cross_entropy(logits, labels)


def calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> Tensor:
    """Expected calibration error in percent (Guo et al. 2017, eq. 3), bins of equal width."""
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    correct = (predicted == labels).to(confidence.dtype)
    edges = torch.linspace(0, 1, bins + 1, dtype=confidence.dtype, device=logits.device)
    # A product with the one-hot bins and no scatter, which a GPU adds up in any order.
    in_bin = F.one_hot(torch.bucketize(confidence, edges[1:-1]), bins).to(confidence.dtype)
    gaps: Tensor = (correct - confidence) @ in_bin
    return 100 * gaps.abs().sum() / len(labels)


def risk_coverage_area(logits: Tensor, labels: Tensor) -> Tensor:
    """AURC × 1000: mean error among the most confident 1, 2, … N samples (Geifman et al. 2019)."""
    return _mean_running_error(_errors_by_confidence(logits, labels))


def excess_risk_coverage_area(logits: Tensor, labels: Tensor) -> Tensor:
    """E-AURC × 1000: AURC above that of the same errors put last (Geifman et al. 2019)."""
    errors = _errors_by_confidence(logits, labels)
    return _mean_running_error(errors) - _mean_running_error(errors.sort().values)


def _errors_by_confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """1 for an error and 0 for a hit, the most confident sample first: (N,) float."""
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    order = confidence.argsort(descending=True, stable=True)
    return (predicted != labels)[order].to(logits.dtype)


def _mean_running_error(errors: Tensor) -> Tensor:
    counts = torch.arange(1, len(errors) + 1, device=errors.device)
    return 1000 * (errors.cumsum(0) / counts).mean()


# -- student beside teacher (Zhu et al. 2024, "A Comprehensive Review of Knowledge Distillation") --


def relative_error(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """E_s / E_t (review, eq. 6): below 1 where the student is better; infinite if E_t = 0."""
    return (100 - accuracy(student_logits, labels)) / (100 - accuracy(teacher_logits, labels))


def distillation_factor(student: nn.Module, teacher: nn.Module) -> float:
    """P_t / P_s, the ratio of the parameter counts (review, eq. 7)."""
    student_size, teacher_size = (
        sum(p.numel() for p in network.parameters()) for network in (student, teacher)
    )
    return teacher_size / student_size


def kl_divergence(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean KL(p_t ‖ p_s) in nats, temperature 1 (review, eq. 8)."""
    log_student, log_teacher = student_logits.log_softmax(1), teacher_logits.log_softmax(1)
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


def correlation(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Pearson's ρ of the probabilities of all samples and classes together (review, eq. 9)."""
    return _pearson(student_logits.softmax(1).flatten(), teacher_logits.softmax(1).flatten())


def sample_correlation(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Pearson's ρ of the probabilities of each sample, averaged over the samples."""
    return _pearson(student_logits.softmax(1), teacher_logits.softmax(1)).mean()


def agreement(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Percent of samples where both predict the same class."""
    return accuracy(student_logits, teacher_logits.argmax(1))


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    """Along the last dimension."""
    a, b = (x - x.mean(dim=-1, keepdim=True) for x in (a, b))
    return F.cosine_similarity(a, b, dim=-1)


class ValidationMetrics:
    """Gathers logits over the batches of a validation set, on the device."""

    def __init__(self) -> None:
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch; half precision is widened."""
        self._logits.append(logits.detach().float())
        self._labels.append(labels)

    def compute(self, teacher_logits: Tensor | None = None) -> dict[str, float]:
        """Top-1 and top-5 accuracy and ECE in percent, NLL in nats; waits for the device once.

        Beside a teacher also how close the network comes to it, from its logits (N, C) float32 on
        the same samples; the relative error is left out where the teacher makes no error.
        """
        logits, labels = torch.cat(self._logits), torch.cat(self._labels)
        values = {
            "val_acc": accuracy(logits, labels),
            "val_acc5": accuracy(logits, labels, k=5),
            "val_ece": calibration_error(logits, labels),
            "val_nll": negative_log_likelihood(logits, labels),
        }
        if teacher_logits is not None:
            values |= {
                "teacher_agreement": agreement(logits, teacher_logits),
                "teacher_kl": kl_divergence(logits, teacher_logits),
                "teacher_correlation": correlation(logits, teacher_logits),
                "relative_error": relative_error(logits, teacher_logits, labels),
            }
        told = dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))
        if not math.isfinite(told.get("relative_error", 0.0)):
            del told["relative_error"]
        return told
