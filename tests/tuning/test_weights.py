"""Exported students and their model cards, as the command line writes them."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from mlflow_store import empty_store
from PIL import Image
from synthetic import sweep_result
from test_best import crown, tuned

from kd.backbones import build_backbone
from kd.config import ImagesConfig, TeacherConfig, TrainConfig
from kd.data import Images
from kd.data.sources.pictures import Encoded, decode_file
from kd.errors import UserError
from kd.training.checkpoint import load_weights, save_weights
from kd.training.teacher import describe
from tuning.export import Flags, write
from tuning.exporters.model_card import model_card
from tuning.records.findings import Findings, Opening

CONFIG = TrainConfig.paper("lsskd", "resnet8", "digits", epochs=9)


def trained(folder: Path, config: TrainConfig = CONFIG) -> dict[str, Any]:
    """A folder as a sweep leaves it, with a student; returns what is said of the student."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(256, size=(20, 3, 8, 8), dtype=np.uint8)
    images = Images(pixels, np.arange(20) % 10, tuple("0123456789"))
    description = describe(config, images, {"val_acc": 86.5})
    folder.mkdir(parents=True)
    (folder / "best_config.yaml").write_text(config.to_yaml())
    student = build_backbone(config.backbone, 10)
    save_weights(student, folder / "student.safetensors", description)
    return description


def photograph() -> None:
    """As a camera leaves it: oblong, and with another way up."""
    picture = Image.fromarray(np.random.default_rng(1).integers(256, size=(30, 40, 3), dtype="u1"))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save("photo.jpg", exif=exif)


def blocks(card: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", card.read_text(), re.DOTALL)


@pytest.mark.parametrize("backbone", ["resnet8", "resnet18"])
def test_what_the_card_says_loads_the_weights(
    backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, backbone=backbone)
    trained(tmp_path / "runs" / "first", config)
    monkeypatch.chdir(tmp_path)
    write(Flags(sweep="first", to="safetensors", data_licence="CC0"))
    name = f"lsskd.{backbone}.digits.safetensors"
    assert sorted(os.listdir(tmp_path)) == [name, f"{name}.md", "runs"]
    card = tmp_path / f"{name}.md"
    photograph()
    scope: dict[str, Any] = {}
    for block in blocks(card, "python"):
        exec(block, scope)
    assert scope["logits"].shape == (1, 10)
    pixels = decode_file(Encoded(Path("photo.jpg")), ImagesConfig(size=8))
    assert np.array_equal(scope["images"][0] * 255, pixels.transpose(2, 0, 1)), "as in training"
    assert not scope["model"].training, "BatchNorm would normalise by the batch"
    expected, _ = load_weights(tmp_path / "runs" / "first" / "student.safetensors")
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(scope["model"].eval()(images), expected(images))
    text = card.read_text()
    assert "86.50 % val accuracy of this very network, one run, epochs: 9" in text
    assert "| licence of the data | CC0 |" in text
    (yaml_block,) = blocks(card, "yaml")
    (tmp_path / "config.yaml").write_text(yaml_block)
    assert TrainConfig.load(tmp_path / "config.yaml") == config


def test_the_program_of_the_card_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    description = trained(tmp_path / "runs" / "first")
    monkeypatch.chdir(tmp_path)
    write(Flags(sweep="first", to="torch-export", output=Path("s.pt2")))
    write(Flags(sweep="first", to="onnx", output=Path("s.onnx")))
    photograph()
    found = []
    for name in ("s.pt2.md", "s.onnx.md"):
        scope: dict[str, Any] = {}
        for block in blocks(tmp_path / name, "python"):
            exec(block, scope)
        assert scope["class_names"] == description["class_names"]
        found.append(np.asarray(scope["logits"].tolist()))
    assert found[0].shape == (1, 10)
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    card = (tmp_path / "s.onnx.md").read_text()
    assert "(B, 3, 8, 8), channels in the order RGB, in 0 … 1" in card
    assert f"{description['mean'][0]:.6f}" in (tmp_path / "s.pt2.md").read_text()


def test_the_card_tells_of_the_sweep_and_of_no_machine(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "monday")
    assert result.best
    config = replace(
        TrainConfig.from_dict(result.best.config),
        dataset="parquet:/home/somebody/images",
        teacher=TeacherConfig(weights="/home/somebody/teacher.safetensors"),
    )
    description = trained(tmp_path / "folder", config)
    description["val_acc"] = result.best.score
    card = model_card(Path("s.safetensors"), "safetensors", config, description, result=result)
    assert "Tuned by the sweep `monday` over `kd.alpha`" in card
    assert "points on the paper's default; one run, not confirmed." in card
    assert "One run, not confirmed: the test set was not opened." in card
    assert "this same val set of 599 images" in card
    assert "licence of the data | unknown" in card
    assert "/home/somebody" not in card
    assert "parquet:images" in card
    assert "±" not in card


def test_the_card_tells_what_was_confirmed_and_of_which_configuration(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "monday")
    config = replace(TrainConfig.from_dict(result.trials[3].config), seed=2)
    description = trained(tmp_path / "folder", config)
    seeds = (1, 2, 3, 4, 5, 6)
    findings = Findings(
        sweep="monday",
        winner=3,
        seeds=seeds,
        config=result.trials[3].config,
        val_acc={0: [80.0 + s for s in seeds], 3: [86.0 + s for s in seeds], 5: [80.0, 81.0, 82.0]},
        test={0: [{"test_acc": 79.0}] * 6, 3: [{"test_acc": 85.0 + s / 10} for s in seeds]},
        openings=(Opening(when="2026-01-02"), Opening(when="2026-02-03", note="a *new* seed")),
    )
    result = replace(result, findings=findings)
    card = model_card(Path("s.onnx"), "onnx", config, description, result=result)
    assert "and 85.20 % test accuracy of this very network, one run" in card
    assert "Trial 3 is better than the paper's default: +6.00 points of val" in card
    assert "| trial 3, handed out | 89.50 ± 1.87 % (n = 6) | 85.35 ± 0.19 % (n = 6) |" in card
    assert "| trial 5, dropped | 81.00 ± 1.00 % (n = 3) | sealed |" in card
    assert r"The test set was opened 2 times (a \*new\* seed)." in card
    assert "not confirmed" not in card
    other = TrainConfig.from_dict(result.trials[5].config)
    card = model_card(Path("s.onnx"), "onnx", other, description, result=result)
    assert "Another configuration was confirmed, trial 3 of the same sweep; the test set" in card
    assert "test accuracy" not in card


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / "student.safetensors").unlink(), "so no trained student"),
        (
            lambda folder: (folder / "student.safetensors").write_bytes(b"\x08" * 20),
            "holds no whole network",
        ),
        (
            lambda folder: save_weights(
                build_backbone("resnet8", 10),
                folder / "student.safetensors",
                {"backbone": "resnet8", "num_classes": 10, "in_channels": 3},
            ),
            "how its images were normalised",
        ),
    ],
)
def test_weights_that_cannot_be_exported_are_one_sentence(
    tmp_path: Path, damage: Any, complaint: str
) -> None:
    trained(tmp_path / "first")
    damage(tmp_path / "first")
    with pytest.raises(UserError, match=complaint) as error:
        write(Flags(sweep="first", storage=tmp_path, to="safetensors", output=tmp_path / "s"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "s").exists()


def test_a_configuration_never_gets_anothers_weights(tmp_path: Path) -> None:
    trained(tmp_path / "first")
    other = tmp_path / "first" / "other.yaml"
    other.write_text(replace(CONFIG, seed=1).to_yaml())
    with pytest.raises(UserError, match="trained with another configuration"):
        write(Flags(config=other, to="safetensors", output=tmp_path / "s"))


# -- all best configurations ------------------------------------------------------------------


def test_all_bests_are_one_table(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    crown(store, tuned(0.1), 80.0, "first")
    crown(store, tuned(0.2), 81.0, "second")
    crown(store, tuned(0.3, epochs=30), 70.0, "long")
    crown(store, TrainConfig.paper("kd", "resnet8", "digits"), 60.0, "other")
    output = tmp_path / "bests.parquet"
    write(Flags(storage=tmp_path, to="parquet", output=output))
    rows = pq.read_table(output).to_pylist()
    assert [(r["method"], r["epochs"], r["kd.alpha"], r["val_acc"]) for r in rows] == [
        ("kd", 240, 0.9, 60.0),
        ("lsskd", 30, 0.3, 70.0),
        ("lsskd", 9, 0.2, 81.0),
    ]
    assert [r["sweep"] for r in rows] == ["other", "long", "second"]
    assert rows[2]["protocol.epochs"] == "9"
    write(Flags(method="lsskd", epochs=9, storage=tmp_path, to="parquet", output=output))
    assert pq.read_table(output).column("sweep").to_pylist() == ["second"]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({}, "give -o bests.parquet"),
        ({"sweep": "first", "output": Path("b.parquet")}, "holds many configurations"),
        ({"method": "drkd", "output": Path("b.parquet")}, "There is no best configuration"),
    ],
)
def test_a_table_that_cannot_be_is_one_sentence(
    tmp_path: Path, flags: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        write(Flags(storage=tmp_path, to="parquet", **flags))


def test_a_device_gets_no_card_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "runs" / "first")
    monkeypatch.chdir(tmp_path)
    write(Flags(sweep="first", to="safetensors", output=Path("/dev/null")))
    assert not Path("/dev/null.md").exists()
