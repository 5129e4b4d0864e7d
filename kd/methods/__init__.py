"""The methods: one file each, named as in `kd.hyperparameters`."""

import importlib
from typing import TYPE_CHECKING, Any

from kd.hyperparameters import MethodConfig

if TYPE_CHECKING:
    from torch import nn

    from kd.backbones.staged import StagedBackbone
    from kd.methods.base import Method, Task


def build_method(
    name: str,
    config: MethodConfig,
    student: "StagedBackbone",
    task: "Task",
    teacher: "nn.Module | None" = None,
) -> "Method[Any]":
    """The method `name` around `student`; UserError where the configuration does not fit it."""
    module = importlib.import_module(f"{__name__}.{name}")
    method: Method[Any] = module.METHOD(config, student, task, teacher)
    return method
