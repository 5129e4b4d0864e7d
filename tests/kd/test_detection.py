"""docs/detection.md: a trained backbone within Faster R-CNN, on a made-up VOC tree."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kd.backbones import build_backbone, whole_name
from kd.config import TrainConfig
from kd.data import Images
from kd.training.checkpoint import save_weights
from kd.training.parallel import Place
from kd.training.teacher import describe
from kd.training.trainer import Trainer

PAGE = Path(__file__).parents[2] / "docs" / "detection.md"
CLASSES = ("aeroplane", "bicycle")


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's code defines."""
    defined: dict[str, Any] = {"__name__": "page"}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(code, defined)
    return defined


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """VOC2012 with four pictures, each of one object."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(4):
        pixels = random.integers(0, 256, (96, 128, 3), np.uint8)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{number}.jpg")
        (root / "Annotations" / f"{number}.xml").write_text(
            f"<annotation><filename>{number}.jpg</filename><object>"
            f"<name>{CLASSES[number % 2]}</name><difficult>0</difficult><bndbox>"
            "<xmin>11</xmin><ymin>21</ymin><xmax>81</xmax><ymax>71</ymax></bndbox></object>"
            "</annotation>"
        )
    for split, numbers in {"train": "0\n1\n2\n", "val": "3\n"}.items():
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text(numbers)
    return tmp_path


@pytest.fixture
def student(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    images = Images(
        random.integers(0, 256, (40, 3, 16, 16), np.uint8), np.arange(40) % 4, tuple("abcd")
    )
    config = TrainConfig.paper("ce", "resnet8", "cifar100", epochs=1, batch_size=16)
    trainer = Trainer(config, images, images, place=Place.local("cpu"))
    metrics = trainer.fit()
    path = tmp_path / "student.safetensors"
    save_weights(trainer.student, path, describe(config, images, metrics))
    return path


def test_a_tuned_backbone_learns_to_detect(page: dict[str, Any], voc: Path, student: Path) -> None:
    model = page["detector"](student, num_classes=len(CLASSES) + 1, size=96)
    body = model.backbone.body.state_dict()
    from kd.training.checkpoint import load_weights

    network, _ = load_weights(student)
    trained = network.state_dict()
    assert {k for k in trained if not k.startswith("classifier.")} <= {
        k.removeprefix("network.") for k in body
    }
    for key, tensor in trained.items():
        if not key.startswith("classifier."):
            assert torch.equal(body[f"network.{key}"], tensor), key
    data = page["VOC"](voc, "train", CLASSES)
    assert len(data) == 3
    image, target = data[0]
    assert image.shape == (3, 96, 128)
    assert target["boxes"].tolist() == [[11, 21, 81, 71]]
    assert target["labels"].tolist() == [1]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = page["step"](model, optimizer, [data[0], data[1]])
    assert np.isfinite(loss)
    changed = [n for n, p in model.named_parameters() if not torch.equal(p, before[n])]
    assert any(name.startswith("backbone.body.network.stages") for name in changed)
    assert any(name.startswith("rpn.") for name in changed)
    score = page["average_precision"](model, page["VOC"](voc, "val", CLASSES))
    assert 0 <= score <= 1


def test_average_precision_is_that_of_boxes_that_are_right(page: dict[str, Any]) -> None:
    truth = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40]])

    class Perfect(torch.nn.Module):
        def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
            return [{"boxes": truth, "labels": torch.tensor([1, 2]), "scores": torch.ones(2)}]

    class Wrong(torch.nn.Module):
        def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
            boxes = torch.tensor([[0.0, 0, 10, 10], [100, 100, 120, 120]])
            return [{"boxes": boxes, "labels": torch.tensor([1, 2]), "scores": torch.ones(2)}]

    data = [(torch.zeros(3, 50, 50), {"boxes": truth, "labels": torch.tensor([1, 2])})]
    assert page["average_precision"](Perfect(), data) == pytest.approx(1.0)
    assert page["average_precision"](Wrong(), data) == pytest.approx(0.5)


def test_any_backbone_that_has_stages_can_be_its_body(page: dict[str, Any], tmp_path: Path) -> None:
    for name in ("resnet8", "torchvision:mobilenet_v3_small"):
        name = whole_name(name)
        network = build_backbone(name, 4)
        path = tmp_path / "one.safetensors"
        save_weights(
            network, path, {"backbone": name, "num_classes": 4, "in_channels": 3,
                            "mean": [0.5] * 3, "std": [0.2] * 3},
        )  # fmt: skip
        model = page["detector"](path, num_classes=3, size=96).eval()
        with torch.no_grad():
            (found,) = model([torch.rand(3, 96, 128)])
        assert set(found) == {"boxes", "labels", "scores"}
