"""Compiled steps: when they are worth their compiling, and the one compiled loss of a process."""

import logging
import os
import shutil
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from kd.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from kd.data.batch import Batch
    from kd.methods.base import Loss

Compile = Literal["auto", "never", "always"]
"""Whether steps are compiled; a property of the place, as a device is, and of no configuration."""

SECONDS = 40.0
"""What compiling takes a process, of a network and a method of the larger ones."""
SHARE = 0.1
"""How much of the time that a process trains it may take."""
STEP = 0.002
"""Seconds of a step that nobody has measured: a captured one of a small network."""


def worth_compiling(
    *, steps: int, epochs: int, slots: int = 1, step_seconds: float | None = None
) -> bool:
    """Whether compiling takes less than a tenth of the time that each process trains.

    Args:
        steps: of an epoch.
        epochs: of all trainings together.
        slots: how many processes share them, each of which compiles.
        step_seconds: what a step takes one of them, if that was measured.
    """
    trained = epochs * steps * (step_seconds or STEP) / slots
    return trained * SHARE > SECONDS


def check_compiler(compile: Compile, *, gpu: bool) -> None:
    """Raise UserError where steps are always to be compiled and the compiler for it is missing.

    On a CPU they become C++, on a GPU the launcher of their kernels is in C.
    """
    variable, known = ("CC", ("gcc", "clang")) if gpu else ("CXX", ("g++",))
    given = os.environ.get(variable)
    names = (given,) if given else known
    if compile == "always" and not any(map(shutil.which, names)):
        raise UserError(
            f"--compile always needs a compiler, and there is no {' or '.join(names)} here; "
            f"install one (apt install g++), or leave --compile away."
        )


def compiled_loss(model: "nn.Module", batch: "Batch") -> "Loss":
    """What `model` says of `batch`, by code that was compiled for the form of both.

    All trainings of a process whose forms are the same share it: what differs between them, and
    from epoch to epoch, lies in tensors.
    """
    from kd.methods.base import Loss

    total, terms = _compiled()(model, batch)
    return Loss(total, terms)


@cache
def _compiled() -> Any:
    import torch

    # It warns that there is no GPU, where nobody looked for one.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    # Captured or not, graphs are this project's own business.
    return torch.compile(_parts, fullgraph=True, dynamic=False)


def _parts(model: "nn.Module", batch: "Batch") -> tuple[Any, dict[str, Any]]:
    loss = model(batch)
    return loss.total, loss.terms
