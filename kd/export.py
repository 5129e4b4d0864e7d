"""The student alone, for other programs: safetensors, torch.export, ONNX.

What a method adds for the training (auxiliary heads, branches, histories) is in none of them.
"""

import importlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from kd.backbones import backbone_spec
from kd.backbones.names import BackboneName
from kd.backbones.staged import StagedBackbone
from kd.errors import UserError
from kd.files import replace_file

Description = Mapping[str, Any]
"""What `kd.training.teacher.describe` says of a student."""


class Classifier(nn.Module):
    """A student with its normalisation: images (B, C, H, W) in 0 … 1 to logits (B, classes)."""

    mean: Tensor
    std: Tensor

    def __init__(self, student: StagedBackbone, description: Description) -> None:
        super().__init__()
        self.student = student
        for name in ("mean", "std"):
            values = torch.tensor(description[name]).view(1, -1, 1, 1)
            self.register_buffer(name, values)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = self.student((images - self.mean) / self.std)
        return logits


def own_keys(backbone: str) -> bool:
    """Whether it is a network of elsewhere, so that an export takes the names that it has there."""
    return bool(BackboneName.parse(backbone).kind)


def torchvision_keys(backbone: str) -> bool:
    """Whether torchvision has this network, so that an export takes its names of parameters."""
    if not hasattr(_family(backbone), "torchvision_key"):
        return False
    from torchvision import models

    return hasattr(models, backbone)


def export_safetensors(student: StagedBackbone, description: Description, path: Path) -> None:
    """Write the parameters and buffers, named as torchvision names them where it has the network.

    The network takes normalised images; the file's metadata holds `mean` and `std`, and
    everything else that `description` says, as JSON.
    """
    rename: Callable[[str], str] = str
    if own_keys(description["backbone"]):
        rename = _family(description["backbone"]).own_key
    elif torchvision_keys(description["backbone"]):
        rename = _family(description["backbone"]).torchvision_key
    tensors = {
        rename(key): tensor.detach().cpu().contiguous()
        for key, tensor in student.state_dict().items()
    }
    metadata = {name: json.dumps(value) for name, value in description.items()}
    replace_file(path, save(tensors, metadata={"format": "pt"} | metadata))


def export_program(student: StagedBackbone, description: Description, path: Path) -> None:
    """Write a `Classifier` as a torch.export program, for any number of images at a time."""
    program = torch.export.export(
        Classifier(student, description),
        (_example(description),),
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
    )
    content = io.BytesIO()
    torch.export.save(program, content)
    replace_file(path, content.getvalue())


def export_onnx(student: StagedBackbone, description: Description, path: Path) -> None:
    """Write a `Classifier` as ONNX, input `images`, output `logits`, any number of images.

    Raises:
        UserError: the packages that write ONNX are not installed.
    """
    try:
        importlib.import_module("onnxscript")
    except ImportError:
        raise UserError(
            "Writing ONNX needs the packages onnx and onnxscript; pip install 'kd-search[export]'."
        ) from None
    program = torch.onnx.export(
        Classifier(student, description),
        (_example(description),),
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    assert program is not None
    replace_file(path, program.model_proto.SerializeToString())


def _family(backbone: str) -> Any:
    return importlib.import_module(f"kd.backbones.{backbone_spec(backbone).family}")


def _example(description: Description) -> Tensor:
    # Not one image: torch.export takes a batch of one for a constant.
    return torch.zeros(2, description["in_channels"], *description["image_size"])
