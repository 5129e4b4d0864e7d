"""What a run began with is compared when it goes on: images, teacher, versions."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from parquet_folder import parquet_folder

from kd.config import TeacherConfig, TrainConfig
from kd.data import Images, open_dataset
from kd.errors import UserError
from kd.origin import FILE, Origin
from kd.train import Flags, train
from kd.training.teacher import train_teacher
from kd.training.trainer import Place

IMAGES = Images(np.zeros((4, 1, 2, 2), np.uint8), np.array([0, 1, 0, 1]), ("a", "b"))


def changed(array, value):
    array = array.copy()
    array.flat[-1] = value
    return array


def test_a_digest_is_of_pixels_labels_names_and_shape():
    others = [
        replace(IMAGES, images=changed(IMAGES.images, 1)),
        replace(IMAGES, labels=changed(IMAGES.labels, 0)),
        replace(IMAGES, class_names=("a", "c")),
        replace(IMAGES, images=IMAGES.images.reshape(4, 1, 1, 4)),
        IMAGES.subset(np.array([1, 0, 3, 2])),
    ]
    digests = {images.digest for images in (IMAGES, *others)}
    assert len(digests) == 1 + len(others)
    assert IMAGES.subset(np.arange(4)).digest == IMAGES.digest
    assert open_dataset("digits").train.digest == open_dataset("digits").train.digest


@pytest.fixture
def flags(tmp_path):
    """A run on a folder of images, interrupted, as it were, after its first epoch."""
    name = f"parquet:{parquet_folder(tmp_path / 'data')}"
    config = TrainConfig.paper("ce", "resnet8", name, epochs=2, batch_size=8)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    flags = Flags(config=tmp_path / "config.yaml", output=tmp_path / "run")
    train(flags)
    return flags


def test_a_run_does_not_go_on_with_other_images(flags, tmp_path, capsys):
    before = (flags.output / "checkpoint.pt").read_bytes()
    parquet_folder(tmp_path / "data", seed=1)
    with pytest.raises(UserError, match=r"are not what the run in .* began with; put them back"):
        train(flags)
    assert (flags.output / "checkpoint.pt").read_bytes() == before
    parquet_folder(tmp_path / "data")
    train(flags)
    assert "going on after epoch 2" in capsys.readouterr().out


def test_the_same_images_written_otherwise_are_the_same(flags, tmp_path, capsys):
    for path in (tmp_path / "data").glob("*.parquet"):
        pq.write_table(pq.read_table(path), path, compression="none", row_group_size=5)
    train(flags)
    assert "going on after epoch 2" in capsys.readouterr().out


def test_fewer_images_are_a_sentence_and_not_a_shape_that_does_not_fit(flags, tmp_path):
    parquet_folder(tmp_path / "data", counts=(10, 20))
    with pytest.raises(UserError, match="images are not what"):
        train(flags)


def test_an_older_run_goes_on_with_what_it_finds_and_keeps_that(flags, tmp_path, capsys):
    (flags.output / FILE).unlink()
    train(flags)
    assert "going on after epoch 2" in capsys.readouterr().out
    parquet_folder(tmp_path / "data", seed=1)
    with pytest.raises(UserError, match="images are not what"):
        train(flags)


def test_another_version_is_said_and_goes_on(flags, capsys):
    kept = json.loads((flags.output / FILE).read_text())
    kept["versions"]["torch"] = "1.0"
    (flags.output / FILE).write_text(json.dumps(kept))
    capsys.readouterr()
    train(flags)
    said = capsys.readouterr().out
    assert said.count("torch: another version than the run in") == 1
    assert "going on after epoch 2" in said
    (flags.output / FILE).write_text("{")
    with pytest.raises(UserError, match=r"origin\.json is damaged; restore a copy of it, or"):
        train(flags)


def test_a_run_does_not_go_on_with_another_teacher(tmp_path):
    images = open_dataset("digits").train
    few, val = images.subset(np.arange(100)), images.subset(np.arange(100, 150))
    config = TrainConfig.paper("drkd", "resnet8", "digits", epochs=1, batch_size=25)
    for seed in (0, 1):
        path = tmp_path / f"{seed}.safetensors"
        train_teacher(
            replace(config, seed=seed).teacher_recipe(), few, val, path, place=Place.local("cpu")
        )
    used = str(shutil.copy(tmp_path / "0.safetensors", tmp_path / "used.safetensors"))
    config = replace(config, teacher=TeacherConfig(weights=used))
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    flags = Flags(config=tmp_path / "config.yaml", output=tmp_path / "run")
    train(flags)
    shutil.copy(tmp_path / "1.safetensors", used)
    with pytest.raises(UserError, match=r"is not what the run in .* began with; put it back"):
        train(flags)


def test_what_is_not_known_is_taken_as_it_is_found(tmp_path):
    Origin().require(Origin.of("a", [b"teacher"]), "it", "stop")
    Origin().keep(tmp_path, Origin.of("a"))
    Origin.load(tmp_path).keep(tmp_path, Origin.of("a", [b"teacher"]))
    known = Origin.load(tmp_path)
    assert known == Origin.of("a", [b"teacher"])
    with pytest.raises(UserError, match="teacher is not what it began with; put it back, or stop"):
        known.require(Origin.of("a"), "it", "stop")


def test_a_run_finds_its_images_from_every_folder(tmp_path, monkeypatch, capsys):
    """Relative to the file, then to the current folder; kept by the whole path."""
    parquet_folder(tmp_path / "here" / "data" / "mine")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for folder, file in (("there", "c.yaml"), ("here", "c.yaml")):
        text = "method: ce\nbackbone: resnet8\ndataset: parquet:data/mine\nbatch_size: 8\nepochs: 1"
        (tmp_path / folder / file).write_text(text)
        train(Flags(config=tmp_path / folder / file, output=tmp_path / folder / "run"))
        monkeypatch.chdir(tmp_path / "there")
        train(Flags(config=tmp_path / folder / "run" / "config.yaml", output=tmp_path / "again"))
        shutil.rmtree(tmp_path / "again")
    monkeypatch.setenv("HOME", str(tmp_path / "here"))
    (tmp_path / "c.yaml").write_text(text.replace(":data", ":~/data"))
    assert TrainConfig.load(tmp_path / "c.yaml").dataset == f"parquet:{tmp_path}/here/data/mine"


def test_the_remedy_for_missing_images_is_for_the_command_that_says_it(flags, tmp_path):
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    sentence = r"data is not a folder; put the images there, or change the line dataset: of .*yaml"
    with pytest.raises(UserError, match=sentence):
        train(flags)
