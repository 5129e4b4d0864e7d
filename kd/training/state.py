"""The state of a training: what is kept of its method, and a copy that no training changes.

What is kept is `method`, the weights and all else that is small; `memories`, the soft labels of
every training sample; and `teachers`, by which the frozen networks are told from others. The
networks themselves have files of their own, which are longer than what is kept of many a student.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from kd.errors import UserError
from kd.methods.base import Method
from kd.methods.config import MethodConfig
from kd.parts.history import SoftLabelHistory

State = dict[str, Any]
Tensors = Mapping[str, Tensor]


def teachers(method: Method[MethodConfig]) -> dict[str, nn.Module]:
    """The frozen networks that the method learns from, by what its `state_dict` calls them."""
    found = enumerate(method.teachers)
    return {f"teachers.{n}.network": own.get_submodule("network") for n, own in found}


def digest(tensors: Tensors) -> str:
    """What tells these tensors, with their names, from all others, wherever they lie."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        value = tensor.detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def snapshot(value: Any) -> Any:
    """A copy of a state on the host, of which nothing is shared with the training."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {name: snapshot(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(snapshot, value))
    return value


def optimizer_state(optimizer: torch.optim.Optimizer) -> State:
    """An optimizer's state whose learning rates are numbers, wherever they lay."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["lr"] = float(group["lr"])
    return state


class MethodState:
    """What is kept of a method whose teachers stay as they are."""

    def __init__(self, method: Method[MethodConfig]) -> None:
        self._method = method

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {name: digest(own.state_dict()) for name, own in teachers(self._method).items()}

    def state(self) -> State:
        """Its parts of a state; the tensors are the live ones."""
        memories, others = self._divided(self._method.state_dict())
        for name in self._digests:
            others = _without(others, name)
        return {"method": others, "memories": memories, "teachers": dict(self._digests)}

    def load(self, state: State) -> None:
        """Go on from what `state` gave, by copying into the tensors that are there.

        An older state holds its teacher and its memories among the rest of the method.

        Raises:
            UserError: it learnt from another teacher.
            RuntimeError: the tensors are not those of such a method.
        """
        stored: dict[str, Tensor] = {**state["method"], **state.get("memories", {})}
        known = state.get("teachers")
        if known is None:
            only = _within(stored, "teacher")
            known = {"teachers.0.network": digest(only)} if only else {}
            stored = _without(stored, "teacher")
        if known != self._digests:
            raise UserError(
                "The checkpoint learnt from another teacher; put that teacher's file back, or "
                "train in a new folder."
            )
        for name, own in teachers(self._method).items():
            stored |= {f"{name}.{key}": tensor for key, tensor in own.state_dict().items()}
        self._method.load_state_dict(stored)

    def _divided(self, tensors: Tensors) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Those of the memories, and the others."""
        memories: dict[str, Tensor] = {}
        others = dict(tensors)
        for name, module in self._method.named_modules():
            if isinstance(module, SoftLabelHistory):
                memories |= {f"{name}.{key}": value for key, value in _within(others, name).items()}
                others = _without(others, name)
        return memories, others


def _within(tensors: Tensors, name: str) -> dict[str, Tensor]:
    """The tensors of the module of that name, by what it calls them itself."""
    begin = f"{name}."
    return {key[len(begin) :]: value for key, value in tensors.items() if key.startswith(begin)}


def _without(tensors: Tensors, name: str) -> dict[str, Tensor]:
    return {key: value for key, value in tensors.items() if not key.startswith(f"{name}.")}
