"""How good a network is, and how close to its teacher."""

from kd import metrics
from tests.golden.numbers import Numbers, checks


@checks("metrics")
def measures(numbers: Numbers) -> None:
    student, teacher = numbers["student_logits"], numbers["teacher_logits"]
    labels = numbers["labels"]
    found = {
        "ece_percent_10bins": metrics.calibration_error(student, labels, bins=10),
        "aurc_x1000": metrics.risk_coverage_area(student, labels),
        "eaurc_x1000": metrics.excess_risk_coverage_area(student, labels),
        "nll": metrics.negative_log_likelihood(student, labels),
        "REF_relative_error": metrics.relative_error(student, teacher, labels),
        "REF_kl_t_s_mean": metrics.kl_divergence(student, teacher),
        "REF_pearson_flat": metrics.correlation(student, teacher),
        "REF_pearson_rowmean": metrics.sample_correlation(student, teacher),
        "err_student": 1 - metrics.accuracy(student, labels) / 100,
        "err_teacher": 1 - metrics.accuracy(teacher, labels) / 100,
        "top1_agreement": metrics.agreement(student, teacher) / 100,
    }
    for key, value in found.items():
        numbers.met(key, value)
