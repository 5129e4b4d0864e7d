"""The hyperparameters of every method, with the papers' defaults: one file per method.

A file's name is the method's name. Nothing here imports torch, so that a command line can
list, read and check configurations at once; the losses are in `kd.methods`, file by file.
"""

import importlib
import pkgutil
from functools import cache

from kd.errors import unknown
from kd.hyperparameters._base import MethodConfig, Recipe

__all__ = ["MethodConfig", "Recipe", "config_class", "method_names"]


@cache
def method_names() -> tuple[str, ...]:
    """Every registered method, in alphabetical order."""
    return tuple(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


@cache
def config_class(method: str) -> type[MethodConfig]:
    """The configuration class of `method`; UserError with the nearest name if there is none."""
    if method not in method_names():
        raise unknown("method", method, method_names())
    found: type[MethodConfig] = importlib.import_module(f"{__name__}.{method}").Config
    return found
