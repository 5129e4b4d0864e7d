import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from families import LARGE, LIGHT
from safetensors import safe_open
from torch import Tensor, nn

from kd.backbones import backbone_names, build_backbone
from kd.backbones.staged import StagedBackbone
from kd.config import SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.errors import UserError
from kd.export import (
    Classifier,
    export_onnx,
    export_program,
    export_safetensors,
    torchvision_keys,
)
from kd.training.teacher import describe
from kd.training.trainer import Place, Trainer

ABOUT = {
    "num_classes": 7,
    "in_channels": 3,
    "mean": [0.4, 0.5, 0.6],
    "std": [0.2, 0.3, 0.1],
    "image_size": [32, 32],
}


def network(backbone: str) -> tuple[StagedBackbone, dict[str, Any]]:
    """A network whose BatchNorms have seen images, as after a training, and its description."""
    torch.manual_seed(0)
    made = build_backbone(backbone, 7)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        made(torch.rand(16, 3, 32, 32) * 5 - 2.5)
    return made.eval(), {"backbone": backbone, **ABOUT}


def read_program(path: Path, images: Tensor) -> Tensor:
    logits: Tensor = torch.export.load(path).module()(images)
    return logits


def read_onnx(path: Path, images: Tensor) -> Tensor:
    runtime = pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed; pip install -e '.[dev]' brings it."
    )
    (logits,) = runtime.InferenceSession(path).run(["logits"], {"images": images.numpy()})
    return torch.from_numpy(logits)


@pytest.mark.usefixtures("small_families")
@pytest.mark.parametrize("backbone", [name for name in LIGHT if name != LARGE])
@pytest.mark.parametrize(
    ("write", "read"), [(export_program, read_program), (export_onnx, read_onnx)]
)
def test_a_program_says_what_the_student_says(
    write: Any, read: Any, backbone: str, tmp_path: Path
) -> None:
    student, description = network(backbone)
    write(student, description, tmp_path / "program")
    for count in (1, 5):
        images = torch.rand(count, 3, 32, 32)
        mean, std = (torch.tensor(ABOUT[name]).view(3, 1, 1) for name in ("mean", "std"))
        with torch.no_grad():
            expected = student((images - mean) / std)
        found = read(tmp_path / "program", images).detach()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["program"]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_torchvision_network_takes_its_weights(name: str, tmp_path: Path) -> None:
    student, description = network(name)
    path = tmp_path / f"{name}.safetensors"
    export_safetensors(student, description, path)
    theirs = getattr(torchvision.models, name)(num_classes=7)
    names = set(theirs.state_dict())
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    assert set(tensors) == names
    theirs.load_state_dict(tensors)
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(theirs.eval()(images), student(images), rtol=0, atol=1e-5)
    assert metadata["format"] == "pt"
    assert json.loads(metadata["mean"]) == ABOUT["mean"]


def test_only_torchvisions_networks_have_its_names() -> None:
    assert [name for name in backbone_names() if torchvision_keys(name)] == [
        "resnet101",
        "resnet152",
        "resnet18",
        "resnet34",
        "resnet50",
    ]


@pytest.mark.parametrize("method", ["lsskd", "dtskd"])
def test_nothing_that_a_method_adds_is_exported(method: str, tmp_path: Path) -> None:
    """A real training: its student's scores, and normalisation as it was trained with."""
    split = SplitConfig(val_fraction=0.6, train_size=50)
    base = TrainConfig.paper(method, "resnet8", "digits", epochs=1)
    config = replace(base, batch_size=10, split=split)
    train, val = train_val(open_dataset("digits").train, split)
    trainer = Trainer(config, train, val, place=Place.local("cpu"))
    description = describe(config, train, trainer.fit())
    assert len(trainer.method.state_dict()) > len(trainer.student.state_dict())

    path = tmp_path / "student.safetensors"
    export_safetensors(trainer.student, description, path)
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(trainer.student.state_dict())

    export_program(trainer.student.eval(), description, tmp_path / "student.pt2")
    batch = next(iter(trainer.val_loader.evaluate(64)))
    pixels = torch.from_numpy(val.images[:64].astype(np.float32) / 255)
    with torch.no_grad():
        expected = trainer.student(batch.images)
        found = read_program(tmp_path / "student.pt2", pixels)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    student, description = network("resnet8")
    with pytest.raises(UserError, match="cannot be written"):
        export_safetensors(student, description, tmp_path / "gone" / "student.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        export_safetensors(student, description, tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_onnx_without_its_packages_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"pip install 'kd-search\[export\]'"):
        export_onnx(*network("resnet8"), tmp_path / "student.onnx")


def test_a_classifier_is_in_eval_mode_and_holds_the_student_alone() -> None:
    student, description = network("resnet8")
    whole = Classifier(student.train(), description)
    assert not any(module.training for module in whole.modules())
    added = set(whole.state_dict()) - {f"student.{key}" for key in student.state_dict()}
    assert added == {"mean", "std"}


def test_importing_it_imports_no_onnx() -> None:
    code = "import sys, kd.export; sys.exit('onnxscript' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
