"""Files that a run can go on from, and files of finished weights."""

import json
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kd.backbones import build_backbone
from kd.backbones.staged import StagedBackbone
from kd.errors import UserError

DAMAGED = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What reading a file raises, by chance, where some of its bytes are wrong."""


def save(state: dict[str, Any], path: Path) -> None:
    """Write `state` so that `path` holds either the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read what `save` wrote; tensors and plain values only, nothing is unpickled beyond them.

    UserError where `path` holds something else. An OSError of the storage is passed on, as the
    next try may succeed, and so is what ails the device.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (torch.AcceleratorError, torch.OutOfMemoryError):
        raise
    except (*DAMAGED, EOFError, IsADirectoryError, pickle.UnpicklingError):
        raise UserError(f"{path} cannot be read; delete it to start again.") from None
    return state


def save_weights(network: StagedBackbone, path: Path, description: dict[str, Any]) -> None:
    """Write a backbone alone as safetensors.

    `description` must hold `backbone`, `num_classes` and `in_channels`, from which
    `load_weights` builds the network again; whatever else it says travels along.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    save_file(tensors, temporary, metadata={"kd": json.dumps(description)})
    os.replace(temporary, path)


def load_weights(path: str | Path) -> tuple[StagedBackbone, dict[str, Any]]:
    """The backbone that `save_weights` wrote, on the CPU in eval mode, and its description.

    UserError where the file is missing or damaged, or its description is not of its weights.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            description = json.loads((file.metadata() or {})["kd"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network = build_backbone(
            description["backbone"], description["num_classes"], description["in_channels"]
        )
        network.load_state_dict(tensors)
    except (*DAMAGED, OSError, SafetensorError):
        raise UserError(
            f"{path} holds no network written by this project; give a student.safetensors that "
            "kd.train or tuning.search wrote."
        ) from None
    return network.eval(), description
