"""KD, Tf-KD and DR-KD: what a teacher's logits teach."""

import torch
from torch import Tensor

from kd.parts.losses import cross_entropy, distillation_kl
from tests.golden.build import method
from tests.golden.numbers import Numbers, checks


@checks("kd")
def kd(numbers: Numbers) -> None:
    student, teacher = numbers["student_logits"], numbers["teacher_logits"]
    labels = numbers["labels"]
    hard = cross_entropy(student, labels).mean()

    def compare(key: str, total: Tensor) -> None:
        numbers.met(key, total)
        numbers.loss(f"{key}__", total, {"grad_student": student})

    def mix(alpha: float, temperature: float, scale: float) -> Tensor:
        kl = distillation_kl(student, teacher, temperature).mean()
        return (1 - alpha) * hard + alpha * scale * kl

    classes = student.shape[-1]
    compare("ce", hard)
    for source, temperature in (("RepDistiller", 4), ("mdistiller", 4), ("HSAKD", 3), ("cskd", 4)):
        key = f"kl_T{temperature}_batchmean_timesT2__{source}"
        compare(key, mix(1, temperature, temperature**2))
    made = method("kd", classes, alpha=0.9, temperature=4.0)
    compare("kd_total_0.1ce_0.9kl_T4__RepDistiller", made.loss(student, teacher, labels).total)
    compare("kd_total_a0.9_T4_meanNC__TfKD_loss_kd", mix(0.9, 4, 16 / classes))
    compare("REF_review_eq1_a0.9_T4", mix(0.9, 4, 16))
    compare("REF_drkd_eq2_noT2_a0.9_T4", mix(0.9, 4, 1))
    for alpha, temperature, factor in ((0.95, 20, 1), (0.95, 6, 50), (0.4, 20, 50), (0.9, 20, 100)):
        key = f"tfkd_self_a{alpha}_T{temperature}_mult{factor}_meanNC__TfKD"
        compare(key, mix(alpha, temperature, factor * temperature**2 / classes))


@checks("REF_kl_temperatures")
def kl_temperatures(numbers: Numbers) -> None:
    """From temperatures that leave one class alone to those at which all classes are alike."""
    student, teacher = numbers["student_logits"], numbers["teacher_logits"]
    found = []
    for temperature in numbers["temperatures"].tolist():
        kl = temperature**2 * distillation_kl(student, teacher, temperature)
        found.append((kl, *torch.autograd.grad(kl.sum(), (student, teacher))))
    for place, key in enumerate(("kl_timesT2", "grad_student", "grad_teacher")):
        numbers.met(key, torch.stack([values[place] for values in found]))
