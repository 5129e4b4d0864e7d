"""The methods, a folder each: `config.py`, its hyperparameters, beside `loss.py`, its loss.

A folder's name is the method's name. Only building a method imports torch, so that a command
line can list, read and check configurations at once.
"""

import importlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.errors import unknown
from kd.methods.config import MethodConfig, Recipe

if TYPE_CHECKING:
    from kd.backbones.staged import StagedBackbone
    from kd.methods.base import Method, Task
    from kd.parts.teacher import Teacher

__all__ = ["MethodConfig", "Recipe", "build_method", "config_class", "method_names"]


@cache
def method_names(pattern: str = "*") -> tuple[str, ...]:
    """Every registered method that the shell pattern matches, such as `*kd`, in order."""
    found = sorted(file.parent.name for file in Path(__file__).parent.glob("*/config.py"))
    return tuple(name for name in found if fnmatchcase(name, pattern))


@cache
def config_class(method: str) -> type[MethodConfig]:
    """The configuration class of `method`; UserError with the nearest name if there is none."""
    if method not in method_names():
        raise unknown("method", method, method_names())
    found: type[MethodConfig] = importlib.import_module(f"{__name__}.{method}.config").Config
    return found


def build_method(
    name: str,
    config: MethodConfig,
    student: "StagedBackbone",
    task: "Task",
    teachers: "Sequence[Teacher]" = (),
) -> "Method[Any]":
    """The method `name` around `student`; UserError where the configuration does not fit it."""
    module = importlib.import_module(f"{__name__}.{name}.loss")
    method: Method[Any] = module.METHOD(config, student, task, teachers)
    return method
