"""A process that is not a sweep's alone: what must not run in it, and what is put back in it."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kd.errors import UserError
from tuning.engine.guard import unguarded
from tuning.engine.runtime import ELSEWHERE, QUIET

_BREAKPOINT = "PYTHONBREAKPOINT"
"""What `breakpoint()` calls; Ray puts a debugger of its own there."""
_LOGGERS = ("ray", "mlflow", "alembic")
"""Whose loggers a sweep makes quiet."""


def check_alone() -> None:
    """Raise UserError where a Ray is joined already: a process has one at a time."""
    ray: Any = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        raise UserError(
            "This process has joined a Ray already, and a search joins one of its own; call "
            "ray.shutdown() first, or search in a process of its own."
        )


@contextmanager
def left_as_found() -> Iterator[None]:
    """What a sweep changes of its process, for itself and for Ray, is as before afterwards."""
    names = (*QUIET, ELSEWHERE, _BREAKPOINT)
    environment = {name: os.environ.get(name) for name in names}
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        yield
    finally:
        for name, value in environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        unguarded()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
