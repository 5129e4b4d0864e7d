"""Files that a run can go on from, and files of finished weights."""

import json
import pickle
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from kd.backbones import build_backbone
from kd.backbones.names import BackboneName
from kd.backbones.own import OWN
from kd.backbones.staged import StagedBackbone
from kd.errors import UserError
from kd.files import replacing

DAMAGED = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What reading a file raises, by chance, where some of its bytes are wrong."""

OF_THE_DEVICE = (torch.AcceleratorError, torch.OutOfMemoryError)
"""RuntimeErrors that say nothing of the file."""

_NO_ARCHIVE = (BadZipFile, EOFError, zlib.error)


class UnreadableError(UserError):
    """A checkpoint that a run cannot go on from."""

    def __init__(self, name: object) -> None:
        super().__init__(f"{name} cannot be read; delete it to start again.")


def save(state: dict[str, Any], path: Path) -> None:
    """Write `state` so that `path` holds either the old file or the whole new one.

    An OSError of the storage, such as a full disk's, is passed on as such.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # What it says is that its archive lacks some bytes, never why.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote; tensors and plain values only, nothing is unpickled beyond them.

    The tensors lie on the host and are mapped from the file, so that they take no memory of
    their own: copy what is to outlive it.

    UnreadableError where `path` holds something else. An OSError of the storage is passed on, as
    the next try may succeed, and so is what ails the device.
    """
    try:
        # Every byte is read once here, where a fault of the storage is an exception: reading what
        # is mapped would end the process.
        with ZipFile(path) as archive:
            whole = archive.testzip() is None
        if not whole:
            raise UnreadableError(path)
        state: Any = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except OF_THE_DEVICE:
        raise
    except (*DAMAGED, *_NO_ARCHIVE, IsADirectoryError, pickle.UnpicklingError):
        raise UnreadableError(path) from None
    if not isinstance(state, dict):
        raise UnreadableError(path)
    return state


def save_weights(network: StagedBackbone, path: Path, description: dict[str, Any]) -> None:
    """Write a backbone alone as safetensors.

    `description` must hold `backbone`, `num_classes` and `in_channels`, from which
    `load_weights` builds the network again; whatever else it says travels along.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(as_weights(network, description))


def as_weights(network: StagedBackbone, description: dict[str, Any]) -> bytes:
    """What `save_weights` writes."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    return to_safetensors(tensors, metadata={"kd": json.dumps(description)})


def load_weights(path: str | Path) -> tuple[StagedBackbone, dict[str, Any]]:
    """The backbone that `save_weights` wrote, on the CPU in eval mode, and its description.

    Or the student of a run's checkpoint, as `save` writes it, which describes it.

    UserError where the file is missing or damaged, or its description is not of its weights.
    """
    try:
        read = _of_checkpoint if is_zipfile(path) else _of_weights
        description, tensors = read(Path(path))
        network = build_backbone(
            description["backbone"], description["num_classes"], description["in_channels"]
        )
        _fill(network, tensors, path, BackboneName.parse(description["backbone"]))
    except (PermissionError, IsADirectoryError) as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror or error}; see that you may read it."
        ) from None
    except (*DAMAGED, OSError, SafetensorError, UnreadableError):
        raise UserError(
            f"{path} holds no whole network of this project: it is damaged, cut short or of "
            "another kind; give a student.safetensors or checkpoint.pt of kd.train or "
            "tuning.search."
        ) from None
    return network.eval(), description


def _fill(
    network: StagedBackbone, tensors: Mapping[str, Tensor], path: str | Path, name: BackboneName
) -> None:
    """Give the network its weights; UserError where its own code is another one by now."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        if name.kind != OWN:
            raise
        raise UserError(
            f"{path} has other weights than {name.short} makes now; put the code of that network "
            "back as it was."
        ) from None


def _of_weights(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(str(path), framework="pt") as file:
        description = json.loads((file.metadata() or {})["kd"])
        return description, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _of_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    state = load(path)
    begin = f"{state.get('student', 'student')}."
    tensors = {n[len(begin) :]: t for n, t in state["method"].items() if n.startswith(begin)}
    config = state["config"]
    first = next(tensor for tensor in tensors.values() if tensor.dim() == 4)
    description = {
        **{name: config[name] for name in ("backbone", "method", "dataset", "split")},
        "num_classes": state.get("num_classes") or len(tensors["classifier.weight"]),
        "in_channels": state.get("in_channels") or first.shape[1],
        "epochs": state["epoch"],
        "images": state.get("images"),
    }
    if (planned := config.get("epochs", 0)) > state["epoch"]:
        description["of_epochs"] = planned
    return description, tensors
