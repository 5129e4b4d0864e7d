"""Watches what a step calls: nothing in it may make the host wait for the device."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class WaitingError(Exception):
    """An operation that makes the host wait for the device, or depends on data for its shape."""


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises for the operations that are known to wait for the device, or to copy from the host."""

    _WAITING = (
        *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "bincount"),
        *("_unique", "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave"),
        "lift_fresh",
    )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().partition("::")[2].partition(".")[0]
        tensors = args[1] if name in ("index", "index_put", "index_put_") else ()
        masked = any(isinstance(t, Tensor) and t.dtype == torch.bool for t in tensors)
        drawn = any(isinstance(a, torch.Generator) for a in (*args, *(kwargs or {}).values()))
        if name in self._WAITING or masked or drawn:
            raise WaitingError(str(func))
        return func(*args, **(kwargs or {}))
