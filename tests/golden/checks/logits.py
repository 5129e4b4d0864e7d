"""Methods that take more from a teacher's logits than KL."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kd.methods.mlkd.loss import _shares
from kd.methods.uskd.loss import target_weights, zipf_targets
from kd.parts.logits import standardised
from kd.parts.losses import cross_entropy, distillation_kl
from tests.golden.build import finite_in_float32, method, settings
from tests.golden.numbers import Numbers, checks

Values = tuple[str, Mapping[str, Any]]
"""A method, and its hyperparameters."""


def compare(
    numbers: Numbers, read: Callable[[str], Values], names: Mapping[str, str], weight: str = ""
) -> None:
    """Every case and setting of a file, by the method's own loss.

    `names` are the file's terms by the names that the method gives them; `loss_ce` is CE with its
    weight, and `loss_kd` the rest of the total, over the hyperparameter `weight` if that is given.
    """
    for case in numbers.cases:
        if numbers.arrays[f"{case}__labels"].is_floating_point():
            continue
        student, teacher = numbers[f"{case}__student_logits"], numbers[f"{case}__teacher_logits"]
        labels = numbers[f"{case}__labels"]
        for setting in numbers.settings(case):
            name, values = read(setting)
            epoch = values.get("epoch")
            made = method(
                name, student.shape[-1], **{k: v for k, v in values.items() if k != "epoch"}
            )
            made.begin_epoch(made.task.epochs - 1 if epoch is None else epoch - 1)
            loss = made.loss(student, teacher.detach(), labels)
            prefix = f"{case}__{setting}__"
            hard = getattr(made.config, "ce_weight", 1.0) * loss.terms["loss_ce"]
            terms = {names[k]: term for k, term in loss.terms.items() if k in names}
            terms["loss_ce"] = hard
            numbers.loss(prefix, loss.total, {"grad_student": student}, **terms)
            rest = loss.total - hard
            numbers.met(f"{prefix}loss_kd", rest / values[weight] if weight else rest)
            assert finite_in_float32(made, student, teacher, labels), f"{prefix} in float32"


@checks("dkd")
def dkd(numbers: Numbers) -> None:
    def read(setting: str) -> Values:
        found = settings(setting, "a", "b", "T")
        epoch, _, warmup = setting.partition("_epoch")[2].partition("of")
        values: dict[str, Any] = {
            "alpha": found["a"],
            "beta": found["b"],
            "temperature": found["T"],
        }
        return "dkd", values | ({"epoch": int(epoch), "warmup": int(warmup)} if epoch else {})

    compare(numbers, read, {"loss_tckd": "tckd", "loss_nckd": "nckd"})


@checks("rld")
def rld(numbers: Numbers) -> None:
    def read(setting: str) -> Values:
        found = settings(setting, "a", "b", "T", "aT")
        values = {"alpha": found["a"], "beta": found["b"], "temperature": found["T"]}
        ls = setting.startswith("ls_")
        return "rld", {**values, "alpha_temperature": found["aT"], "standardise": ls}

    compare(numbers, read, {"loss_scd": "scd", "loss_mcd": "mcd"})


@checks("nkd")
def nkd(numbers: Numbers) -> None:
    def read(setting: str) -> Values:
        found = settings(setting, "T", "g")
        return "nkd", {"gamma": found["g"], "temperature": found["T"]}

    compare(numbers, read, {"loss_label": "loss_target", "loss_rest": "loss_nontarget"})
    for case in numbers.cases:
        soft = numbers[f"{case}__labels"]
        if not soft.is_floating_point():
            continue
        # A soft label is its highest class; the head's CE is not in the total here.
        labels, key = soft.argmax(-1), f"{case}__student_logits"
        for setting in numbers.settings(case):
            student, teacher = numbers[key], numbers[f"{case}__teacher_logits"].detach()
            name, values = read(setting)
            total = method(name, student.shape[-1], **values).loss(student, teacher, labels).total
            total = total - cross_entropy(student, labels).mean()
            numbers.met(f"{case}__{setting}__loss_kd", total)
            numbers.loss(f"{case}__{setting}__", total, {"grad_student": student})


@checks("dist")
def dist(numbers: Numbers) -> None:
    def read(setting: str) -> Values:
        found = settings(setting, "b", "g", "tau", "w")
        values = {"beta": found["b"], "gamma": found["g"], "weight": found["w"]}
        return "dist", values | {"temperature": found["tau"]}

    compare(numbers, read, {"loss_inter": "inter", "loss_intra": "intra"}, "weight")


@checks("ttm")
def ttm(numbers: Numbers) -> None:
    def read(setting: str) -> Values:
        found = settings(setting, "l", "b")
        return setting.partition("_")[0], {"gamma": found["l"], "beta": found["b"]}

    compare(numbers, read, {}, "beta")


@checks("ctkd")
def ctkd(numbers: Numbers) -> None:
    for key in numbers.arrays:
        if read := re.fullmatch(r"(\w+)_lambda_max0_min-1_loops(\d+)_epochs0to(\d+)", key):
            schedule, loops, last = read.groups()
            made = method("ctkd", 3, curriculum=int(loops), curriculum_schedule=schedule)
            # The authors count epochs from 1, and have a value for 0 too.
            found = [0.0, *(made.reversal(epoch) for epoch in range(int(last)))]
            numbers.met(key, torch.tensor(found, dtype=torch.float64))
    for case in numbers.cases:
        student, teacher = numbers[f"{case}__student_logits"], numbers[f"{case}__teacher_logits"]
        labels = numbers[f"{case}__labels"]
        for setting in numbers.settings(case):
            prefix, found = (
                f"{case}__{setting}__",
                settings(setting, "g", "a", "b", "theta", "epoch"),
            )
            values: dict[str, Any] = {"standardise": setting.startswith("ls_")}
            if setting.startswith("dkd_"):
                values |= {"term": "dkd", "ce_weight": 1.0, "kd_weight": 1.0}
                values |= {"alpha": found["a"], "beta": found["b"]}
            else:
                values |= {"ce_weight": found["g"], "kd_weight": found["a"]}
            made = method("ctkd", student.shape[-1], **values)
            made.theta.data.fill_(found["theta"])
            made.begin_epoch(int(found["epoch"]) - 1)
            numbers.met(f"{prefix}lambda", made.numbers["reversal"])
            loss = made.loss(student, teacher.detach(), labels)
            named = {"loss_ce": loss.terms["loss_ce"], "temperature": loss.terms["temperature"]}
            term = {"kd": "loss_div", "dkd": "loss_kd"}[made.config.term]
            named[term] = loss.terms["loss_kl"]
            if made.config.term == "dkd":
                named["loss_div"] = ordinary(student, teacher, loss.terms["temperature"])
            by = {"grad_student": student, "grad_theta": made.theta, "REF_grad_theta": made.theta}
            numbers.loss(prefix, loss.total, by, **named)


def ordinary(student: Tensor, teacher: Tensor, temperature: Tensor) -> Tensor:
    """T²·KL_T, which the authors' CTKD computes beside DKD with a weight of 0."""
    return temperature**2 * distillation_kl(student, teacher, temperature, soft=False).mean()


@checks("mlkd")
def mlkd(numbers: Numbers) -> None:
    for case in numbers.cases:
        views = [name for name in ("weak", "strong") if f"{case}__student_logits_{name}" in numbers]
        student = [numbers[f"{case}__student_logits_{view}"] for view in views]
        teacher = [numbers[f"{case}__teacher_logits_{view}"].detach() for view in views]
        labels = numbers[f"{case}__labels"]
        for setting in numbers.settings(case):
            prefix, found = f"{case}__{setting}__", settings(setting, "T", "ce", "kd")
            values = {"temperature": found["T"], "ce_weight": found["ce"], "kd_weight": found["kd"]}
            two = not setting.startswith("noaug_")
            more = {"second_view": two, "standardise": "ls_" in setting}
            made = method("mlkd", student[0].shape[-1], **values, **more)
            seen = (student[: 1 + two], teacher[: 1 + two])
            loss = made.of_views(*seen, labels)
            ce, kd = found["ce"], found["kd"]
            terms = {
                "loss_ce": ce * loss.terms["loss_ce"],
                "loss_kd": kd * loss.terms["loss_samples"],
                "loss_cc": kd * loss.terms["loss_classes"],
                "loss_bc": kd * loss.terms["loss_batch"],
            }
            by = dict(zip(("grad_student_weak", "grad_student_strong"), student, strict=False))
            numbers.loss(prefix, loss.total, by, **terms)
            one = made.of_views(seen[0][:1], seen[1][:1], labels)
            weak = kd * one.terms["loss_samples"]
            numbers.met(f"{prefix}loss_kd_weak", weak)
            numbers.met(f"{prefix}loss_kd_strong", kd * loss.terms["loss_samples"] - weak)
            sure, rare = _shares(teacher[0])
            numbers.met(f"{prefix}sample_mask_fraction", sure)
            numbers.met(f"{prefix}class_mask_fraction", rare)
            if two:
                added = method(
                    "mlkd", student[0].shape[-1], **values, **more, second_relations=True
                )
                with_both = added.of_views(*seen, labels).terms
                apart = kd * (with_both["loss_batch"] - loss.terms["loss_batch"])
                numbers.met(f"{prefix}loss_bc_strong_NOT_IN_TOTAL", apart)
            assert finite_in_float32(made, student[0], teacher[0], labels), f"{prefix} in float32"


@checks("ls")
def ls(numbers: Numbers) -> None:
    def read(setting: str) -> Values:
        if setting.startswith("dkd_"):
            found = settings(setting, "T", "a", "b")
            values = {"alpha": found["a"], "beta": found["b"], "temperature": found["T"]}
            return "dkd", values | {"standardise": True}
        found = settings(setting, "T", "w", "ce")
        values = {"alpha": 0.5, "multiplier": found["w"] / 0.5, "ce_weight": found["ce"]}
        return "kd", values | {"temperature": found["T"], "standardise": True}

    compare(numbers, read, {"loss_tckd": "tckd", "loss_nckd": "nckd"})
    for case in numbers.cases:
        for of in ("student", "teacher"):
            z = standardised(numbers[f"{case}__{of}_logits"])
            numbers.met(f"{case}__standardised_{of}", z)


@checks("wkd_l")
def wkd_l(numbers: Numbers) -> None:
    for case in numbers.cases:
        student, teacher = numbers[f"{case}__student_logits"], numbers[f"{case}__teacher_logits"]
        labels, distance = numbers[f"{case}__labels"], numbers[f"{case}__class_distance"]
        for setting in numbers.settings(case):
            found = settings(setting, "T", "g", "k")
            values = {"temperature": found["T"], "gamma": found["g"], "sharpness": found["k"]}
            made = method("wkd_l", student.shape[-1], **values)
            made.distance.copy_(distance.detach())
            loss = made.loss(student, teacher.detach(), labels)
            hard, label = loss.terms["loss_ce"], loss.terms["loss_label"]
            terms = {"loss_ce": hard, "loss_target": label, "loss_kd": loss.total - hard}
            terms["wasserstein"] = loss.terms["loss_wasserstein"]
            numbers.loss(f"{case}__{setting}__", loss.total, {"grad_student": student}, **terms)
            assert finite_in_float32(made, student, teacher, labels), f"{case} in float32"


@checks("uskd")
def uskd(numbers: Numbers) -> None:
    for case in numbers.cases:
        student, middle = numbers[f"{case}__student_logits"], numbers[f"{case}__mid_features"]
        labels = numbers[f"{case}__labels"]
        for setting in numbers.settings(case):
            found = settings(setting, "a", "b", "mu")
            values = {"alpha": found["a"], "beta": found["b"], "mu": found["mu"]}
            made = method("uskd", student.shape[-1], **values)
            made.weak = torch.nn.Linear(middle.shape[-1], student.shape[-1])
            made.weak.weight.data = numbers[f"{case}__weak_fc_weight"].detach()
            made.weak.bias.data = numbers[f"{case}__weak_fc_bias"].detach()
            weak = made.weak(middle)
            loss, prefix = made.loss(student, weak, labels), f"{case}__{setting}__"
            terms = {
                "loss_ce": loss.terms["loss_ce"],
                "loss_target": loss.terms["loss_label"],
                "loss_nontarget": loss.terms["loss_rest"],
                "loss_weak": loss.terms["loss_weak"],
                "loss_uskd": loss.total - loss.terms["loss_ce"],
            }
            by = {"grad_student": student, "grad_mid_features": middle}
            by |= {f"grad_weak_fc_{name}": value for name, value in made.weak.named_parameters()}
            numbers.loss(prefix, loss.total, by, **terms)
            each = target_weights(cross_entropy(student, labels)).unsqueeze(-1)
            numbers.met(f"{prefix}target_weight", each)
            zipf = zipf_targets(student, weak, labels)
            others = torch.ones_like(zipf, dtype=torch.bool).scatter(1, labels.unsqueeze(1), False)
            numbers.met(f"{prefix}zipf_targets", zipf[others].view(len(zipf), -1))
            assert finite_in_float32(made, student, weak, labels), f"{prefix} in float32"
