"""Methods that learn from themselves."""

import re

import torch
from torch import Tensor

from kd.parts.losses import cross_entropy, rectify
from tests.golden.build import method, settings
from tests.golden.numbers import Numbers, checks


@checks("drkd")
def drkd(numbers: Numbers) -> None:
    student, teacher = numbers["student_logits"], numbers["teacher_logits"].detach()
    labels = numbers["labels"]
    numbers.met("rectified_teacher_logits", rectify(teacher, labels))
    mixed = rectify(teacher, numbers["labels_mixed"])
    numbers.met("rectified_teacher_logits_labels_mixed", mixed)
    for key in [key for key in numbers.arrays if re.fullmatch(r"(REF_)?drkd_.*_a[\d.]+_T\d+", key)
                or re.fullmatch(r"drkd_.*__official", key)]:  # fmt: skip
        found = settings(key, "a", "T", "mult")
        scaling = "tau_squared" if "_T2_" in key else "paper"
        values = {"alpha": found["a"], "temperature": found["T"], "scaling": scaling}
        if key.endswith("__official"):
            values |= {"scaling": "per_class", "multiplier": found["mult"]}
        loss = method("drkd", student.shape[-1], **values).loss(student, teacher, labels)
        numbers.met(key, loss.total)
        numbers.loss(f"{key}__", loss.total, {"grad_student": student})


@checks("label_smoothing_tfkd_reg")
def smoothing(numbers: Numbers) -> None:
    student, labels = numbers["student_logits"], numbers["labels"]
    classes = student.shape[-1]

    def compare(key: str, total: Tensor) -> None:
        numbers.met(key, total)
        numbers.loss(f"{key}__", total, {"grad_student": student})

    for key in numbers.arrays:
        if key.startswith("ls_eps") and not key.endswith("grad_student"):
            spread = "uniform" if key.endswith("torch") else "others"
            epsilon = float(key.removeprefix("ls_eps").partition("_")[0])
            made = method("lsr", classes, label_smoothing=epsilon, smoothing_spread=spread)
            compare(key, cross_entropy(student, labels, made.numbers["smoothing"]).mean())
        elif key.startswith("tfkd_reg_a") and not key.endswith("grad_student"):
            found = settings(key, "a", "T", "mult")
            values = {"alpha": found["a"], "temperature": found["T"], "multiplier": found["mult"]}
            compare(key, method("tfkd_reg", classes, **values).loss(student, labels).total)
        elif read := re.fullmatch(r"REF_tfkd_reg_paper_tau([\d.]+)_a([\d.]+)", key):
            temperature, alpha = map(float, read.groups())
            values = {"alpha": alpha, "temperature": temperature, "form": "paper"}
            compare(key, method("tfkd_reg", classes, **values).loss(student, labels).total)
        elif key.startswith("virtual_teacher_softmax_of_probs_T"):
            written = torch.full_like(student, 0.01 / (classes - 1))
            written = written.scatter(1, labels.unsqueeze(1), 0.99)
            temperature = float(key.rpartition("_T")[2])
            numbers.met(key, torch.softmax(written / temperature, -1))


@checks("cskd")
def cskd(numbers: Numbers) -> None:
    logits, partner, labels = numbers["logits_x"], numbers["logits_pair"], numbers["labels"]
    for key in [key for key in numbers.arrays if key.startswith("total_lamda")]:
        weight = float(key.removeprefix("total_lamda"))
        loss = method("cskd", logits.shape[-1], weight=weight).loss(logits, partner, labels)
        numbers.met("cls_loss_T4", loss.terms["loss_kl"])
        numbers.met(key, loss.total)
        both = torch.autograd.grad(loss.total, [logits, partner], allow_unused=True)
        assert both[0] is not None
        numbers.met(f"grad_x_lamda{key.removeprefix('total_lamda')}", both[0])
        numbers.met("pair_has_grad", both[1] is not None)
