from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kd import metrics
from kd.backbones import build_backbone

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN) as file:
        return {key: torch.from_numpy(np.asarray(file[key])) for key in file.files}


# Golden key → the same number from student logits, teacher logits, labels.
CASES = {
    "ece_percent_10bins": lambda s, t, y: metrics.calibration_error(s, y, bins=10),
    "aurc_x1000": lambda s, t, y: metrics.risk_coverage_area(s, y),
    "eaurc_x1000": lambda s, t, y: metrics.excess_risk_coverage_area(s, y),
    "nll": lambda s, t, y: metrics.negative_log_likelihood(s, y),
    "REF_relative_error": metrics.relative_error,
    "REF_kl_t_s_mean": lambda s, t, y: metrics.kl_divergence(s, t),
    "REF_pearson_flat": lambda s, t, y: metrics.correlation(s, t),
    "REF_pearson_rowmean": lambda s, t, y: metrics.sample_correlation(s, t),
    "err_student": lambda s, t, y: 1 - metrics.accuracy(s, y) / 100,
    "err_teacher": lambda s, t, y: 1 - metrics.accuracy(t, y) / 100,
    "top1_agreement": lambda s, t, y: metrics.agreement(s, t) / 100,
}


@pytest.mark.parametrize("key", CASES)
def test_golden(golden: dict[str, Tensor], key: str) -> None:
    value = CASES[key](golden["student_logits"], golden["teacher_logits"], golden["labels"])
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(golden[key].item(), rel=1e-9)


def test_every_golden_number_is_compared(golden: dict[str, Tensor]) -> None:
    assert set(golden) == {*CASES, "student_logits", "teacher_logits", "labels"}


def test_accuracy_counts_the_k_largest_and_all_of_fewer_classes() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    labels = torch.tensor([0, 1, 2, 2])
    assert metrics.accuracy(logits, labels).item() == 50
    assert metrics.accuracy(logits, labels, k=2).item() == 75
    assert metrics.accuracy(logits, labels, k=5).item() == 100


def test_calibration_error_of_certain_answers_is_their_error_rate() -> None:
    logits = torch.tensor([[100.0, 0.0], [100.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    assert metrics.calibration_error(logits, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(25)
    assert metrics.calibration_error(logits, torch.tensor([0, 0, 0, 1])).item() == pytest.approx(0)


def test_distillation_factor_is_the_ratio_of_the_sizes() -> None:
    student, teacher = build_backbone("resnet20", 100), build_backbone("resnet56", 100)
    assert metrics.distillation_factor(student, teacher) == 861_620 / 278_324


def test_gathering_batches_gives_what_the_whole_set_gives(golden: dict[str, Tensor]) -> None:
    logits, labels = golden["student_logits"].float(), golden["labels"]
    gathered = metrics.ValidationMetrics()
    for part in torch.arange(len(labels)).split(64):
        gathered.update(logits[part].requires_grad_(), labels[part])
    assert gathered.compute() == {
        "val_acc": metrics.accuracy(logits, labels).item(),
        "val_acc5": metrics.accuracy(logits, labels, k=5).item(),
        "val_ece": metrics.calibration_error(logits, labels).item(),
        "val_nll": metrics.negative_log_likelihood(logits, labels).item(),
    }


def test_beside_a_teacher_it_says_how_close_the_student_is(golden: dict[str, Tensor]) -> None:
    student, labels = golden["student_logits"].float(), golden["labels"]
    teacher = golden["teacher_logits"].float()
    gathered = metrics.ValidationMetrics()
    gathered.update(student, labels)
    alone, beside = gathered.compute(), gathered.compute(teacher)
    assert {name: beside.pop(name) for name in alone} == alone
    assert beside == {
        "teacher_agreement": metrics.agreement(student, teacher).item(),
        "teacher_kl": metrics.kl_divergence(student, teacher).item(),
        "teacher_correlation": metrics.correlation(student, teacher).item(),
        "relative_error": metrics.relative_error(student, teacher, labels).item(),
    }
    perfect = torch.nn.functional.one_hot(labels, student.shape[1]).float()
    assert "relative_error" not in gathered.compute(perfect), "its teacher makes no error"


def test_half_precision_is_widened_before_anything_is_computed(golden: dict[str, Tensor]) -> None:
    half = golden["student_logits"].bfloat16()
    narrow, wide = metrics.ValidationMetrics(), metrics.ValidationMetrics()
    narrow.update(half, golden["labels"])
    wide.update(half.float(), golden["labels"])
    assert narrow.compute() == wide.compute()
