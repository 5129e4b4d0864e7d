"""Storage that answers with errors for a while: a network folder whose server starts again."""

import time
from collections.abc import Callable
from typing import TypeVar

from kd.files import FULL

__all__ = ["FULL", "PAUSES", "patiently"]

PAUSES = (1, 2, 4, 8, 16, 32)
"""Seconds between the tries to reach it: a minute in all."""

T = TypeVar("T")


def patiently(reach: Callable[[], T]) -> T:
    """What `reach` returns, tried again while the storage has a fault; a full disk is none."""
    for pause in PAUSES:
        try:
            return reach()
        except OSError as error:
            if error.errno in FULL:
                raise
            time.sleep(pause)
    return reach()
