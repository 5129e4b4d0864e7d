"""Methods that take more from a teacher's logits than KL."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from kd.parts.losses import cross_entropy
from tests.golden.build import finite_in_float32, method, settings
from tests.golden.numbers import Numbers, checks

Values = tuple[str, Mapping[str, Any]]
"""A method, and its hyperparameters."""


def compare(
    numbers: Numbers, read: Callable[[str], Values], names: Mapping[str, str], weight: str = ""
) -> None:
    """Every case and setting of a file, by the method's own loss.

    `names` are the file's terms by the names that the method gives them; `loss_kd` is the rest of
    the total, over the hyperparameter `weight` if that is given.
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
            by = {"grad_student": student}
            numbers.loss(prefix, loss.total, by, **{names[k]: loss.terms[k] for k in names})
            rest = taught(loss.total, loss.terms["loss_ce"], made)
            numbers.met(f"{prefix}loss_kd", rest / values[weight] if weight else rest)
            assert finite_in_float32(made, student, teacher, labels), f"{prefix} in float32"


def taught(total: Tensor, hard: Tensor, made: Any) -> Tensor:
    """What is left of the total beside CE."""
    return total - getattr(made.config, "ce_weight", 1.0) * hard


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

    names = {"loss_ce": "loss_ce", "loss_tckd": "tckd", "loss_nckd": "nckd"}
    compare(numbers, read, names)


@checks("rld")
def rld(numbers: Numbers) -> None:
    def read(setting: str) -> Values:
        found = settings(setting, "a", "b", "T", "aT")
        values = {"alpha": found["a"], "beta": found["b"], "temperature": found["T"]}
        ls = setting.startswith("ls_")
        return "rld", {**values, "alpha_temperature": found["aT"], "standardise": ls}

    compare(numbers, read, {"loss_ce": "loss_ce", "loss_scd": "scd", "loss_mcd": "mcd"})


@checks("nkd")
def nkd(numbers: Numbers) -> None:
    def read(setting: str) -> Values:
        found = settings(setting, "T", "g")
        return "nkd", {"gamma": found["g"], "temperature": found["T"]}

    names = {"loss_ce": "loss_ce", "loss_label": "loss_target", "loss_rest": "loss_nontarget"}
    compare(numbers, read, names)
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

    compare(
        numbers,
        read,
        {"loss_ce": "loss_ce", "loss_inter": "inter", "loss_intra": "intra"},
        "weight",
    )


@checks("ttm")
def ttm(numbers: Numbers) -> None:
    def read(setting: str) -> Values:
        found = settings(setting, "l", "b")
        return setting.partition("_")[0], {"gamma": found["l"], "beta": found["b"]}

    compare(numbers, read, {"loss_ce": "loss_ce"}, "beta")
