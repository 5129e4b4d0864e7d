"""What all trials of a sweep begin with is trained once; a stage that was killed goes on."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kd.backbones import build_backbone
from kd.config import SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.methods import config_class, method_names
from kd.training.checkpoint import as_weights
from kd.training.teacher import describe
from tuning.engine.beginning import Beginning
from tuning.engine.notice import GivenBackError
from tuning.engine.trial import Work, train_trial
from tuning.records.taught import taught
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles
from tuning.sweeps.cell import Cell
from tuning.sweeps.kept import keep_beginning, lend

SPLIT = SplitConfig(val_fraction=0.6, train_size=50)
SHARED = [name for name in method_names() if config_class(name).beginning is not None]
STAGED = ("ab", "ban", "fitnet", "hsakd", "sskd")


def config_of(method: str) -> TrainConfig:
    """Two epochs of each stage, and two of the main phase."""
    paper = TrainConfig.paper(method, "resnet8", "digits", epochs=2, batch_size=25)
    counted = dict.fromkeys(paper.kd.in_epochs, 2)
    if method == "ban":
        counted["generations"] = 2
    return replace(paper, split=SPLIT, kd=replace(paper.kd, **counted))


def varied(config: TrainConfig) -> TrainConfig:
    """The same with other values of all that a search varies."""
    numbers = {n: v for n, v in vars(config.kd).items() if isinstance(v, float)}
    others = {n: v / 2 for n, v in numbers.items()}
    return replace(
        config, kd=replace(config.kd, **others), optimizer=replace(config.optimizer, lr=0.01)
    )


def work_in(folder: Path, config: TrainConfig, seeds: int = 1) -> Work:
    images = train_val(open_dataset("digits").train, SPLIT)
    torch.manual_seed(3)
    teacher = as_weights(
        build_backbone("resnet8", 10, 1).eval(), describe(config, images[0], {"val_acc": 50.0})
    )
    files = TrialFiles(shelf=Shelf(str(folder)), study="trial")
    return Work(*images, files, (teacher,) if config.needs_teacher else (), seeds=seeds)


def told(work: Work, config: TrainConfig, number: int = 0) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    assignment = {"lane": 0, "trial": number, "config": config.to_dict()}
    train_trial(assignment, work, cpus=1, device="cpu", tell=said.append)
    return said


def scores(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{n: v for n, v in one.items() if "seconds" not in n and n != "trial"} for one in said]


def kept_in(work: Work, config: TrainConfig) -> Path:
    beginning = Beginning.of(config, work)
    assert beginning is not None
    return Path(work.files.shelf.uri) / beginning.name


def test_which_methods_have_one() -> None:
    assert SHARED == ["hsakd", "sskd"]


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("method", SHARED)
def test_a_later_trial_is_what_it_would_be_alone(method: str, seeds: int, tmp_path: Path) -> None:
    config = config_of(method)
    work, other = work_in(tmp_path / "sweep", config, seeds), varied(config)
    assert told(work, config)[0]["before_seconds"] > 0
    assert kept_in(work, config) == kept_in(work, other)
    again = told(work, other, 1)
    assert all(metrics["before_seconds"] == 0 for metrics in again)
    alone = told(work_in(tmp_path / "alone", other, seeds), other)
    assert alone[0]["before_seconds"] > 0
    assert scores(again) == scores(alone)


def test_what_it_depends_on_tells_it_from_others(tmp_path: Path) -> None:
    config = config_of("sskd")
    work = work_in(tmp_path, config)
    others = [
        replace(config, seed=1),
        replace(config, batch_size=10),
        replace(config, backbone="resnet20"),
        replace(config, kd=replace(config.kd, head_epochs=3)),
        replace(config, augment=replace(config.augment, crop_padding=0)),
    ]
    files = {kept_in(work, one) for one in (config, *others)}
    files |= {kept_in(replace(work, teachers=(b"another",)), config)}
    files |= {kept_in(replace(work, seeds=2), config)}
    files |= {kept_in(replace(work, train=replace(work.train, whole="others")), config)}
    assert len(files) == len(others) + 4
    assert Beginning.of(config_of("fitnet"), work_in(tmp_path, config_of("fitnet"))) is None
    # Its networks are in files of the configuration, which may be others by now.
    assert Beginning.of(config, replace(work, teachers=())) is None


def test_that_of_a_network_whose_code_is_another_by_now_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of("hsakd")
    work = work_in(tmp_path, config)
    monkeypatch.chdir(tmp_path)
    own, found = replace(config, backbone="module:mine:net@one=4"), []
    for code in ("a = 1\n", "a = 1\n", "a = 2\n"):
        (tmp_path / "mine.py").write_text(code)
        found.append(kept_in(work, own))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("length", [0, 1000, -1])
def test_where_it_is_damaged_it_is_trained_again(length: int, tmp_path: Path) -> None:
    config = config_of("hsakd")
    work = work_in(tmp_path, config)
    first = told(work, config)
    kept = kept_in(work, config)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:length])
    again = told(work, config, 1)
    assert again[0]["before_seconds"] > 0
    assert scores(again) == scores(first)
    assert len(kept.read_bytes()) == len(whole)


# -- told to go ------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("method", ["fitnet", "hsakd", "ban"])
def test_one_that_is_told_to_go_in_a_stage_before_goes_on_from_there(
    method: str, seeds: int, tmp_path: Path
) -> None:
    config = config_of(method)
    whole = told(work_in(tmp_path / "whole", config, seeds), config)
    work, said = work_in(tmp_path / "moved", config, seeds), list[dict[str, Any]]()
    assignment = {"lane": 0, "trial": 0, "config": config.to_dict()}
    with pytest.raises(GivenBackError):
        train_trial(assignment, work, cpus=1, device="cpu", tell=said.append, leaves=lambda: True)
    assert said == [], "after the first epoch of the stage"
    assert scores(told(work, config)) == scores(whole)


# -- killed ----------------------------------------------------------------------------------

KILLED = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_beginning import config_of, told, work_in
from tuning.engine.trial_writer import TrialWriter

def after_telling(self, metrics):
    self.newest.finish(self._trainer.trained, self._pool.state)
    if self._trainer.trained == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

TrialWriter.after_telling = after_telling
config = config_of(sys.argv[2])
told(work_in(Path(sys.argv[1]), config), config)
"""


@pytest.mark.parametrize(
    ("method", "epoch"), [*((method, 1) for method in STAGED), ("sskd", 2), ("ban", 2)]
)
def test_a_stage_that_was_killed_goes_on(method: str, epoch: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed"), method, str(epoch)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    config = config_of(method)
    killed = work_in(tmp_path / "killed", config)
    assert (tmp_path / "killed" / killed.files.checkpoint(0)).exists()
    again = told(killed, config)
    whole = told(work_in(tmp_path / "whole", config), config)
    assert scores(again) == scores(whole)
    assert again[0]["before_seconds"] > 0


# -- for later sweeps ------------------------------------------------------------------------


def cell_of(storage: Path, name: str) -> Cell:
    config = config_of("sskd")
    settings: Any = SimpleNamespace(storage=storage, folder=storage / name, name=name)
    (storage / name).mkdir(parents=True)
    cell: Any = SimpleNamespace(
        base=config, work=work_in(storage / name, config), settings=settings
    )
    return cell


def test_a_later_sweep_has_it_and_counts_what_it_took(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, later = cell_of(tmp_path, "first"), cell_of(tmp_path, "later")
    lend(first)
    took = told(first.work, first.base)[0]["before_seconds"]
    assert not taught(tmp_path / "first")
    keep_beginning(first)
    keep_beginning(first)
    lend(later)
    assert "later: what its trials begin with is what first trained (2 epochs)." in (
        capsys.readouterr().out
    )
    (known,) = taught(tmp_path / "later")
    assert (known.sweep, known.epochs) == ("first", 2)
    assert known.seconds == pytest.approx(took)
    said = told(later.work, varied(later.base))
    assert said[0]["before_seconds"] == 0
    (kept,) = (tmp_path / "teachers").glob("*.pt")
    kept.write_bytes(kept.read_bytes()[:1000])
    lend(cell_of(tmp_path, "third"))
    assert f"{kept} is damaged, so what trials begin with is trained again." in (
        capsys.readouterr().out
    )
    assert not kept.exists()
    assert json.loads(kept.with_suffix(".json").read_text())["sweep"] == "first"
    lend(cell_of(tmp_path, "fourth"))


def test_where_it_cannot_be_kept_the_sweep_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = cell_of(tmp_path, "first")
    told(cell.work, cell.base)
    (tmp_path / "teachers").write_text("a file")
    keep_beginning(cell)
    assert "for later sweeps: File exists" in capsys.readouterr().out
