"""The methods, a folder each: `config.py`, its hyperparameters, beside `loss.py`, its loss.

A folder's name is the method's name; installed packages may add more (`kd.plugins`). Only
building a method imports torch, so that a command line can list, read and check configurations
at once.
"""

import importlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.errors import unknown
from kd.methods.config import MethodConfig, Recipe
from kd.plugins import METHODS, added, load_module, wrong

if TYPE_CHECKING:
    from kd.backbones.staged import StagedBackbone
    from kd.methods.base import Method, Task
    from kd.parts.teacher import Teacher

__all__ = [
    "MethodConfig",
    "Recipe",
    "build_method",
    "check_loss",
    "config_class",
    "is_added",
    "method_module",
    "method_names",
]


@cache
def method_names(pattern: str = "*") -> tuple[str, ...]:
    """Every registered method that the shell pattern matches, such as `*kd`, in order."""
    return tuple(n for n in sorted({*_own(), *added(METHODS)}) if fnmatchcase(n, pattern))


@cache
def _own() -> tuple[str, ...]:
    return tuple(file.parent.name for file in Path(__file__).parent.glob("*/config.py"))


@cache
def config_class(method: str) -> type[MethodConfig]:
    """The configuration class of `method`; UserError with the nearest name if there is none."""
    if method not in method_names():
        raise unknown("method", method, method_names())
    found: type[MethodConfig] | None = getattr(method_module(method, "config"), "Config", None)
    if found is None:
        raise wrong(METHODS, method, "has no `Config` in its config")
    return found


def method_module(method: str, part: str) -> Any:
    """A method's `config`, `loss` or, of a package that adds one, `space`.

    UserError where that package's cannot be imported.
    """
    if method in _own():
        return importlib.import_module(f"{__name__}.{method}.{part}")
    return load_module(METHODS, method, part)


def is_added(method: str) -> bool:
    """Whether an installed package adds the method."""
    return method not in _own()


def check_loss(method: str) -> None:
    """Raise UserError where the loss of a method that a package adds is not there.

    Before a trial finds that, which would have failed. The project's own is not imported.
    """
    if is_added(method) and not hasattr(method_module(method, "loss"), "METHOD"):
        raise wrong(METHODS, method, "has no `METHOD` in its loss")


def build_method(
    name: str,
    config: MethodConfig,
    student: "StagedBackbone",
    task: "Task",
    teachers: "Sequence[Teacher]" = (),
) -> "Method[Any]":
    """The method `name` around `student`; UserError where the configuration does not fit it."""
    method: Method[Any] = method_module(name, "loss").METHOD(config, student, task, teachers)
    return method
