"""What a sweep began with is compared before Ray when it goes on: images, teacher, plan."""

import os
import shutil
import subprocess
import sys
from contextlib import chdir, redirect_stderr
from importlib import import_module
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from parquet_folder import parquet_folder

from kd.backbones import build_backbone
from kd.config import TrainConfig
from kd.data import open_dataset
from kd.errors import UserError
from kd.origin import FILE, Origin
from kd.training.checkpoint import save_weights
from kd.training.teacher import describe
from tuning import best_config
from tuning.records.keeper import STUDENT
from tuning.records.protocol import protocol as protocol_now
from tuning.records.result import load_result
from tuning.study.journal import open_study
from tuning.sweeps.candidates import PLAN, Asked, planned
from tuning.sweeps.run import run_sweeps


def command(cwd: Path, module: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(cwd: Path, module: str, *words: str) -> str:
    """The sentence of a command that ends before it starts anything."""
    with chdir(cwd), redirect_stderr(StringIO()) as said, pytest.raises(SystemExit) as end:
        import_module(module).main(words)
    assert end.value.code == 2
    return said.getvalue().strip()


def teacher_file(path: Path, folder: Path, bias: float) -> Path:
    images = open_dataset(f"parquet:{folder}").train
    torch.manual_seed(0)
    network = build_backbone("resnet8", 2, 1)
    network.classifier.bias.data.fill_(bias)
    config = TrainConfig.paper("ce", "resnet8", f"parquet:{folder}")
    save_weights(network, path, describe(config, images, {"val_acc": 50.0}))
    return path


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A sweep of two trials on a relative folder of images, with a given teacher."""
    home = tmp_path_factory.mktemp("begun")
    folder = parquet_folder(home / "data" / "mine")
    teacher_file(home / "t.safetensors", folder, 0.0)
    command(
        home, "tuning.search", "kd", "--dataset", "parquet:data/mine", "--teacher",
        "t.safetensors", "--backbone", "resnet8", "--trials", "2", "--epochs", "1", "--name", "s",
        "--set", "batch_size=8", "--local",
    )  # fmt: skip
    return home


@pytest.fixture
def home(begun, tmp_path):
    """That folder, as it was when the sweep ended."""
    parquet_folder(begun / "data" / "mine")
    teacher_file(begun / "t.safetensors", begun / "data" / "mine", 0.0)
    shutil.copytree(begun / "runs", tmp_path / "runs")
    yield begun
    shutil.rmtree(begun / "runs")
    shutil.move(tmp_path / "runs", begun / "runs")


RESUME = ("tuning.search", "--resume", "s", "--trials", "3", "--local")
CONFIRM = ("tuning.confirm", "s", "--seeds", "5")


OTHERS = ({"seed": 1}, {"counts": (20, 1)}, {"shape": (6, 8)}, {"counts": (20, 20, 20)})


@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("words", [RESUME, CONFIRM])
def test_other_images_are_refused_and_nothing_is_written(words, others, home):
    before = {p: p.read_bytes() for p in (home / "runs" / "s").rglob("*") if p.is_file()}
    parquet_folder(home / "data" / "mine", **others)
    said = refused(home, *words)
    assert said == (
        "error: The images are not what s began with; put them back, or start a new sweep."
    )
    shutil.move(home / "data" / "mine", home / "data" / "away")
    said = refused(home, *words)
    shutil.move(home / "data" / "away", home / "data" / "mine")
    assert "is not a folder; put the images back there, or start a new sweep" in said
    assert before == {p: p.read_bytes() for p in (home / "runs" / "s").rglob("*") if p.is_file()}


@pytest.mark.parametrize("words", [RESUME, CONFIRM])
def test_another_teacher_is_refused(words, home):
    teacher_file(home / "t.safetensors", home / "data" / "mine", 9.0)
    said = refused(home, *words)
    assert "The teacher is not what s began with; put it back, or start a new sweep" in said


def test_a_folder_of_images_is_found_from_everywhere(home, tmp_path):
    name = f"parquet:{home}/data/mine"
    runs = home / "runs"
    assert yaml.safe_load((runs / "s" / "sweep.yaml").read_text())["base"]["dataset"] == name
    assert best_config("kd", "resnet8", "parquet:mine", storage=runs).dataset == name
    storage = ("--storage", str(runs))
    said = command(tmp_path, "tuning.search", "--resume", "s", "--dry-run", "--local", *storage)
    assert "2 trials of at most 1 epoch each" in said
    command(tmp_path, "kd.train", str(runs / "s" / "best_config.yaml"), "--output", "again")
    assert (tmp_path / "again" / STUDENT).exists()


def test_the_same_images_written_otherwise_are_searched_on(home):
    for path in (home / "data" / "mine").glob("*.parquet"):
        pq.write_table(pq.read_table(path), path, compression="none", row_group_size=5)
    assert "Best of 3 trials" in command(home, *RESUME)
    protocol = load_result(home / "runs", "s").sweep.protocol
    assert protocol != protocol_now(load_result(home / "runs", "s").sweep.settings.base)


def test_a_sweep_older_than_this_check_is_taken_as_it_is(home):
    settings = load_result(home / "runs", "s").sweep.settings
    (settings.folder / FILE).unlink()
    parquet_folder(home / "data" / "mine", seed=1)
    assert Origin.load(settings.folder) == Origin()
    from tuning.sweeps.cell import Cell

    images = open_dataset(settings.base.dataset).train
    Cell.of(settings, settings.space(), images).begin()
    assert Origin.load(settings.folder).images == images.digest
    parquet_folder(home / "data" / "mine")
    with pytest.raises(UserError, match="images are not what s began with"):
        run_sweeps([(settings, settings.space())])


def test_confirming_goes_on_as_it_was_begun(home, capsys):
    result = load_result(home / "runs", "s")
    plan = planned(result, Asked(top=3, seeds=7), "confirm")
    assert plan.trials == (0, 1)
    journal = result.sweep.folder / "confirm.log"
    with open_study(journal, "confirm", create=True) as study:
        study.set_user_attr(PLAN, plan._asdict())
        study.ask().set_user_attr("config", result.trials[0].config)
    assert planned(result, Asked(), "confirm") == plan
    assert planned(result, Asked(seeds=8), "confirm").seeds == 8
    for other in (Asked(top=1), Asked(seeds=6), Asked(top=2)):
        with pytest.raises(UserError, match=r"began with trials 1 on at most 7 seeds; type"):
            planned(result, other, "confirm")
    with open_study(journal, "confirm", create=False) as study:
        study.set_user_attr(PLAN, plan._replace(trials=(0, 7))._asdict())
    assert planned(result, Asked(), "confirm").trials == (0, 7)
    assert "Confirming goes on with trials 7," in capsys.readouterr().out
