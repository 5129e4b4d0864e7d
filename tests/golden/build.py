"""Methods around small networks, for checks of their `loss`."""

import re
from typing import Any

import torch
from torch import Tensor

from kd.backbones import build_backbone
from kd.methods import build_method, config_class
from kd.methods.base import Method, Task
from kd.parts.teacher import Teacher

EPOCHS = 300


def method(
    name: str,
    classes: int,
    *,
    samples: int = 1,
    epochs: int = EPOCHS,
    backbone: str = "resnet8",
    **values: Any,
) -> Any:
    """The method `name` with these hyperparameters, in float64."""
    config = config_class(name)(**values)
    task = Task(
        num_classes=classes,
        num_samples=samples,
        epochs=epochs,
        backbone=backbone,
        labels=torch.arange(samples) % classes,
    )
    student = build_backbone(backbone, classes)
    taught = config.teacher != "none"
    teachers = [Teacher(build_backbone(backbone, classes))] if taught else []
    made: Method[Any] = build_method(name, config, student, task, teachers).double()
    return made


def settings(text: str, *names: str) -> dict[str, float]:
    """`a1_b0.5_T4` read as its numbers, by the letters before them."""
    found = dict(re.findall(r"(?:^|_)([A-Za-z]+)(-?[\d.]+)", text))
    return {name: float(found[name]) for name in names if name in found}


def finite_in_float32(made: Method[Any], student: Tensor, teacher: Tensor, labels: Tensor) -> bool:
    """Whether loss and gradient are numbers in single precision."""
    single = student.detach().float().requires_grad_()
    total = made.float().loss(single, teacher.detach().float(), labels).total
    (gradient,) = torch.autograd.grad(total, [single])
    return bool(torch.isfinite(total)) and bool(torch.isfinite(gradient).all())
