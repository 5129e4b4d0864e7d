"""A teacher is trained once in a storage, and later sweeps of the same learn from it."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from full_disk import no_file_above
from real_sweeps import Cells, finish, start

from kd.backbones import build_backbone
from kd.config import TeacherConfig, TrainConfig
from kd.errors import UserError
from kd.training.checkpoint import load_weights, save_weights
from tuning.records.result import load_result
from tuning.records.taught import Taught, taught
from tuning.sweeps.kept import keep, place_of, take

ABOUT = Taught(sweep="first", epochs=3, seconds=9.0, epoch_seconds=2.0, val_acc=71.0)

KD = TrainConfig.paper("kd", "resnet8", "digits").kd


def recipe(**changes: object) -> TrainConfig:
    config = TrainConfig.paper("ce", "resnet8", "digits", epochs=3)
    return replace(config, **changes)  # type: ignore[arg-type]


def trained(path: Path) -> Path:
    network = build_backbone("resnet8", 10, 1)
    save_weights(network, path, {"backbone": "resnet8", "num_classes": 10, "in_channels": 1})
    ABOUT.save(path)
    return path


def test_it_is_found_again_by_what_it_is(tmp_path: Path) -> None:
    one = place_of(tmp_path, recipe(), "images")
    assert one == place_of(tmp_path, recipe(), "images")
    others = [
        place_of(tmp_path, recipe(), "other images"),
        place_of(tmp_path, recipe(seed=1), "images"),
        place_of(tmp_path, recipe(epochs=4), "images"),
        place_of(tmp_path, recipe(split=replace(recipe().split, seed=1)), "images"),
    ]
    assert len({one, *others}) == 5
    moved = place_of(tmp_path, recipe(dataset=f"parquet:{tmp_path}"), "images")
    assert moved.name.rpartition("-")[2] == one.name.rpartition("-")[2]


def test_a_network_of_ones_own_counts_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    own = recipe(backbone="module:keptnet:build@")
    places = []
    for activation in ("ReLU", "GELU", "ReLU"):
        Path("keptnet.py").write_text(f"from torch.nn import {activation}\n")
        places.append(place_of(tmp_path, own, "images"))
    assert places[0] == places[2] != places[1]


def test_of_one_that_learnt_from_another_that_counts_too(tmp_path: Path) -> None:
    def place(teacher: TeacherConfig) -> Path:
        chain = TeacherConfig(backbone="resnet8", method="kd", teacher=teacher)
        return place_of(tmp_path, recipe(method="kd", kd=KD, teacher=chain).teacher_recipe(), "i")

    files = []
    for folder in ("one", "two"):
        trained(tmp_path / folder / "t.safetensors")
        files.append(TeacherConfig(weights=str(tmp_path / folder / "t.safetensors")))
    same = TeacherConfig(backbone="resnet8")
    assert place(same) == place(same)
    others = [TeacherConfig(backbone="resnet20"), TeacherConfig(backbone="resnet8", seed=4)]
    assert len({place(one) for one in (same, *others, files[0])}) == 4
    # Of a file the content counts, and not where it lies.
    assert place(files[0]) != place(files[1])
    Path(files[1].weights or "").write_bytes(Path(files[0].weights or "").read_bytes())
    assert place(files[0]) == place(files[1])
    files[0] = TeacherConfig(weights=str(tmp_path / "nowhere.safetensors"))
    with pytest.raises(UserError, match="cannot be read"):
        place(files[0])


def test_a_later_sweep_has_the_same_file_and_knows_what_it_took(tmp_path: Path) -> None:
    kept = place_of(tmp_path, recipe(), "images")
    keep(kept, source := trained(tmp_path / "a" / "teacher.safetensors"))
    target = tmp_path / "b" / "teacher.safetensors"
    target.parent.mkdir()
    assert take(kept, target) == ABOUT
    assert target.read_bytes() == source.read_bytes()
    assert list(taught(target.parent)) == [ABOUT]
    assert take(place_of(tmp_path, recipe(), "other images"), target) is None


@pytest.mark.parametrize("length", [0, 1000, -1])
def test_one_that_is_damaged_is_told_and_trained_again(
    tmp_path: Path, length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = trained(tmp_path / "teachers" / "resnet8.safetensors")
    kept.write_bytes(kept.read_bytes()[:length])
    assert take(kept, tmp_path / "teacher.safetensors") is None
    assert f"{kept} is damaged, so that teacher is trained again." in capsys.readouterr().out
    assert not kept.exists()
    assert not (tmp_path / "teacher.safetensors").exists()


def test_where_it_cannot_be_kept_the_sweep_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "teachers").write_text("a file")
    keep(tmp_path / "teachers" / "t.safetensors", trained(tmp_path / "teacher.safetensors"))
    assert "teachers for later sweeps: File exists" in capsys.readouterr().out


def test_on_a_full_disk_nothing_is_half_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, kept = (
        trained(tmp_path / "teacher.safetensors"),
        tmp_path / "teachers" / "t.safetensors",
    )
    with no_file_above(1000):
        keep(kept, source)
    assert "cannot be written: File too large" in capsys.readouterr().out
    assert not kept.exists()
    keep(kept, source)
    with no_file_above(1000), pytest.raises(UserError, match="cannot be written: File too large"):
        take(kept, tmp_path / "own.safetensors")
    assert not (tmp_path / "own.safetensors").exists()


def test_sweeps_side_by_side_and_later_ones_train_it_once(cells: Cells, tmp_path: Path) -> None:
    (kept,) = (cells.storage / "teachers").glob("*.safetensors")
    (tmp_path / "teachers").mkdir()
    for file in kept.parent.iterdir():
        shutil.copy(file, tmp_path / "teachers")
    load_weights(kept)
    flags = ["--teacher", "resnet8", "--epochs", "2", "--trials", "1"]
    said = finish(start(tmp_path, "sskd", *flags, "--name", "later"))
    assert said.count("The teacher, resnet8, is the one that both-kd-resnet8-digits trained") == 1
    assert "First the teacher" not in said
    assert "what its trials begin with" not in said
    assert (tmp_path / "later" / "teacher.safetensors").read_bytes() == kept.read_bytes()
    (known,) = taught(tmp_path / "later")
    assert (known.sweep, known.epochs) == ("both-kd-resnet8-digits", 2)
    page = (tmp_path / "later" / "report.html").read_text()
    assert re.search(r"Its teacher took 2 epochs more \(\d+ s, by both-kd-resnet8-digits\)", page)
    # Nor is what SSKD trains on it, its head, trained by a second sweep.
    said = finish(start(tmp_path, "sskd", *flags, "--name", "last"))
    assert "last: what its trials begin with is what later trained (1 epoch)." in said
    (head,) = (tmp_path / "teachers").glob("sskd-*.pt")
    assert (tmp_path / "last" / "beginnings" / head.name).read_bytes() == head.read_bytes()
    curves = [load_result(tmp_path, name).trials[0].curve for name in ("later", "last")]
    assert curves[0] == curves[1]
    took = r"Its teacher and what all its trials begin with took 3 epochs more \(\d+ s, by both-"
    assert re.search(took, (tmp_path / "last" / "report.html").read_text())
    said = finish(start(tmp_path, "kd", "dkd", *flags, "--seed", "1", "--name", "other"))
    assert said.count("First the teacher") == 1
    assert said.count("is the one that other-kd-resnet8-digits trained") == 1


def test_a_teacher_that_was_kept_before_configurations_had_more_keys_is_found() -> None:
    """Its name is what it was then; keys that say something make another teacher of it."""
    recipe = TrainConfig.paper("kd", "resnet8", "cifar100", epochs=5).teacher_recipe()
    name = place_of(Path("s"), recipe, "abc").name
    assert name == "resnet20-cifar100-270238757a5f5c29.safetensors"
    turned = replace(recipe, augment=replace(recipe.augment, rotation=15.0))
    assert place_of(Path("s"), turned, "abc").name != name
