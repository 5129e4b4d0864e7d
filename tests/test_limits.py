"""What a training set's first line shows is a sentence before torch and Ray, with its remedy."""

import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from families import LIGHT, hurried
from parquet_folder import parquet_folder

from kd.backbones import build_backbone
from kd.config import TrainConfig
from kd.data import Images, check_dataset, open_dataset
from kd.data.config import SplitConfig
from kd.data.sources import downloads
from kd.errors import DivergedError, UserError
from kd.methods import method_names
from kd.training.checkpoint import save_weights
from kd.training.teacher import describe
from tuning.search import main

OBLONG = ({"shape": (8, 6)}, ["lsskd"], "lsskd turns images by quarters, and these have 8×6")
ALONE = ({"counts": (20, 1)}, ["ce"], "Class 'class 1' has one image, and training and val need")
ONE_CLASS = ({"counts": (20,)}, ["ce"], "has images of one class alone")
EMPTY_CLASS = ({"counts": (20, 0)}, ["ce"], "has images of one class alone")
FEW = ({"counts": (2,) * 5}, ["ce"], "val_fraction 0.1 leaves no image of class 'class 1' for val")
PADDING = ({}, ["ce", "--set", "crop_padding=9"], "crop_padding is 9, but the images have 8×8")
SEARCHED = ({}, ["ce", "--space", "batches.yaml", "--workers-per-trial", "4"], "batch_size is 4;")
BORDER = ({}, ["ce", "--space", "border.yaml"], "crop_padding is 20, but the images have 8×8")
WORKERS = ({}, ["ce", "--workers-per-trial", "40"], "batch_size is 64; it must be at least 80")


def search(tmp_path, capsys, *flags):
    """The exit code, and what `tuning.search` says."""
    with pytest.raises(SystemExit) as end:
        main([*flags, "--backbone", "resnet8", "--local", "--storage", str(tmp_path / "runs")])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert not list((tmp_path / "runs").glob("*")), "nothing is left behind"
    return end.value.code, said.err.strip() or said.out


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("images", "flags", "sentence"),
    [OBLONG, ALONE, ONE_CLASS, EMPTY_CLASS, FEW, PADDING, WORKERS, SEARCHED, BORDER],
)
def test_a_search_is_refused(images, flags, sentence, dry, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("batches.yaml").write_text("batch_size: {low: 4, high: 64}")
    Path("border.yaml").write_text("augment.crop_padding: {low: 0, high: 20}")
    folder = parquet_folder(tmp_path / "data", **images)
    code, said = search(tmp_path, capsys, *flags, *dry, "--dataset", f"parquet:{folder}")
    assert code == 2
    assert sentence in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(("images", "flags", "sentence"), [OBLONG, ALONE, ONE_CLASS, FEW])
def test_a_run_is_refused_before_torch_and_leaves_no_folder(images, flags, sentence, tmp_path):
    folder = parquet_folder(tmp_path / "data", **images)
    text = f"method: {flags[0]}\nbackbone: resnet8\ndataset: parquet:{folder}\n"
    (tmp_path / "c.yaml").write_text(text)
    code = """
import sys
from kd.cli import run
from kd.train import Flags, train
try:
    run(Flags, train, ["c.yaml"])
finally:
    assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("counts", "split"),
    [((2,) * 5, []), ((50, 3), ["val_fraction=0.01"]), ((9, 2), ["val_fraction=0.97"]),
     ((90, 9), ["train_size=3"]), ((90, 9), ["train_size=400"])],
)  # fmt: skip
def test_what_the_sentence_about_the_split_names_can_be_typed(counts, split, tmp_path, capsys):
    data = ["--dataset", f"parquet:{parquet_folder(tmp_path / 'data', counts=counts)}"]
    given = [word for text in split for word in ("--set", f"split.{text}")]
    code, said = search(tmp_path, capsys, "ce", "--dry-run", *data, *given)
    assert code == 2
    name = re.search(r"split\.\w+", said)[0]
    value = re.search(r"(?:=|at most )([\d.]+\d|\d+)\.$", said)[1]
    config = TrainConfig.paper("ce", "resnet8", data[1])
    split = SplitConfig(
        **{name.removeprefix("split."): float(value) if "." in value else int(value)}
    )
    replace(config, split=split).check_images(check_dataset(data[1]))


def test_what_is_known_of_a_data_set_is_what_its_images_are(tmp_path):
    for name in ("digits", f"parquet:{parquet_folder(tmp_path, (4, 6, 3), (7, 0, 9))}"):
        info, train = check_dataset(name), open_dataset(name).train
        assert (info.channels, *info.size) == train.images.shape[1:]
        counts = np.bincount(train.labels, minlength=len(train.class_names))
        assert dict(info.counts) == dict(zip(train.class_names, counts, strict=True))
    for name, total in (("cifar10", 50_000), ("cifar100", 50_000), ("fashion-mnist", 60_000)):
        assert sum(check_dataset(name, tmp_path).counts.values()) == total
        assert name in downloads.INFO


SHAPES = ((1, 1, 1), (2, 3, 4), (8, 6, 1))


@pytest.mark.usefixtures("small_families")
@pytest.mark.parametrize(("place", "method"), list(enumerate(method_names())))
@pytest.mark.parametrize("shape", SHAPES)
def test_what_passes_the_check_can_be_trained(place, method, shape, tmp_path):
    """Each shape on another family of backbones; refused is only what a method says it needs."""
    from kd.data.split import train_val
    from kd.parts.teacher import Teacher
    from kd.training.trainer import Place, Trainer

    name = f"parquet:{parquet_folder(tmp_path, shape, (2, 2))}"
    backbone = LIGHT[(place + SHAPES.index(shape)) % len(LIGHT)]
    config = TrainConfig.paper(method, backbone, name, epochs=1, batch_size=2)
    config = replace(config, split=SplitConfig(val_fraction=0.5), kd=hurried(config.kd))
    needs = config.kd.needs
    if needs.partner or (needs.square and shape[0] != shape[1]):
        with pytest.raises(UserError):
            config.check_images(check_dataset(name))
        return
    config.check_images(check_dataset(name))
    images = train_val(open_dataset(name).train, config.split)
    teachers = [Teacher(build_backbone(backbone, 2, shape[2])) for _ in config.teachers]
    # Batch normalisation over two single pixels may grow beyond all bounds, and is told so.
    with suppress(*[DivergedError] if shape == (1, 1, 1) else []):
        Trainer(config, *images, place=Place.local("cpu"), teachers=teachers).fit()


# -- the teacher's file --------------------------------------------------------------------------


def write_teacher(path: Path, images: Images, change=lambda network: None) -> None:
    network = build_backbone("resnet8", len(images.class_names), images.images.shape[1])
    change(network)
    config = TrainConfig.paper("ce", "resnet8", "digits")
    save_weights(network, path, describe(config, images, {"val_acc": 50.0}))


def to_nan(network):
    with torch.no_grad():
        network.classifier.bias[0] = float("nan")


def garbage(path, digits):
    path.write_bytes(b"garbage" * 1000)


def empty(path, digits):
    path.touch()


def a_folder(path, digits):
    path.mkdir()


def not_finite(path, digits):
    write_teacher(path, digits, to_nan)


def of_other_classes(path, digits):
    write_teacher(path, Images(digits.images, digits.labels % 2, ("even", "odd")))


def of_colours(path, digits):
    write_teacher(path, Images(digits.images.repeat(3, 1), digits.labels, digits.class_names))


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (garbage, "holds no whole network of this project"),
        (empty, "holds no whole network of this project"),
        (a_folder, "There is no teacher file"),
        (not_finite, "has weights that are not finite"),
        (of_other_classes, "has 2 classes and 1 image channels, the data 10 and 1"),
        (of_colours, "has 10 classes and 3 image channels"),
    ],
)
def test_a_teacher_of_no_use_is_refused(make, sentence, dry, tmp_path, capsys):
    path = tmp_path / "t.safetensors"
    make(path, open_dataset("digits").train)
    code, said = search(tmp_path, capsys, "kd", *dry, "--teacher", str(path))
    assert code == 2
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_a_teacher_of_other_pixels_is_refused_before_ray(tmp_path, capsys):
    digits = open_dataset("digits").train
    path = tmp_path / "t.safetensors"
    write_teacher(path, Images(255 - digits.images // 2, digits.labels, digits.class_names))
    code, said = search(tmp_path, capsys, "kd", "--teacher", str(path))
    assert code == 2
    assert "was trained on images of another mean of pixels" in said


@pytest.mark.parametrize("name", ["~/t.safetensors", "~nobody-of-this-name/t.safetensors",
                                  "x" * 300 + ".safetensors"])  # fmt: skip
def test_a_teacher_is_found_at_home_and_strange_names_are_one_sentence(
    name, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_teacher(tmp_path / "t.safetensors", open_dataset("digits").train)
    code, said = search(tmp_path, capsys, "kd", "--dry-run", f"--teacher={name}")
    assert code == (0 if name.startswith("~/") else 2)
    assert code == 0 or "There is no teacher file" in said
    assert len(said) < 1000
