"""What the version before the rooms left behind is read, resumed and reported by this one."""

import json
import os
import runpy
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from kd.config import TrainConfig
from kd.section import flatten
from tuning import best_config
from tuning.records.findings import Findings
from tuning.records.result import load_result
from tuning.study.journal import load_study, read_trials

OLD = Path(__file__).parent / "old"
WRITTEN_AT = "/home/researcher/project/runs"
"""Where the old version's storage lay."""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(OLD / "runs.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    # MLflow keeps absolute paths; this one would be made by whoever may write there.
    with sqlite3.connect(folder / "runs" / "mlflow.db") as database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            moved = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(moved, (WRITTEN_AT, str(folder / "runs")))
    return folder / "runs"


@pytest.fixture
def runs(unpacked: Path, tmp_path: Path) -> Path:
    """A storage folder of the old version, to be written in."""
    return Path(shutil.copytree(unpacked, tmp_path / "runs"))


def command(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_sweeps_are_read(unpacked):
    finished = load_result(unpacked, "finished")
    assert [t.state for t in finished.trials] == ["completed", "completed", "stopped", "stopped"]
    assert [t.epoch for t in finished.trials] == [3, 3, 1, 1]
    assert finished.best is finished.default
    assert finished.best.score == 46.65810012817383
    assert (finished.sweep.method, finished.sweep.epochs, finished.sweep.val_size) == (
        "lsskd", 3, 778,
    )  # fmt: skip
    for trial in finished.trials:
        assert trial.seconds == trial.ended - trial.started > 0, "it knew of no pauses"
    assert 0 < finished.seconds < finished.trial_seconds
    findings = Findings.load(unpacked / "finished")
    assert findings is not None
    assert (findings.winner, findings.seeds) == (1, (1, 2))
    taught = load_result(unpacked, "taught")
    assert taught.best is not None
    assert (taught.best.number, taught.best.score) == (2, 35.6041145324707)
    broken = load_result(unpacked, "broken")
    assert [t.state for t in broken.trials] == ["running", "completed", "running"]


def test_its_sweeps_are_reported(runs):
    said = command("tuning.report", "finished", "--storage", str(runs))
    assert "Nothing is better than the paper's default, which is handed out: trial 1 is" in said
    assert "stopping 2 trials early saved 4 epochs (33 %)" in said
    said = command("tuning.confirm", "finished", "--storage", str(runs))
    assert "49.40 ± 5.94 % (n = 2)" in said
    said = command("tuning.report", "broken", "--storage", str(runs))
    assert "Best of 3 trials: 67.61 % val accuracy" in said


def test_its_best_configurations_are_found(unpacked):
    said = command("tuning.best", "--storage", str(unpacked))
    assert [line.split()[:6] for line in said.splitlines()[1:]] == [
        ["kd", "resnet8", "digits", "35.60", "2", "3"],
        ["lsskd", "resnet8", "digits", "46.66", "3", "4"],
    ]
    found = best_config("lsskd", "resnet8", "digits", storage=unpacked)
    assert found == TrainConfig.load(OLD / "exported.yaml")
    assert found == TrainConfig.from_dict(json.loads((OLD / "exported.json").read_text()))


def test_a_module_that_it_exported_runs():
    config = runpy.run_path(str(OLD / "exported.py"))["config"]
    assert config == TrainConfig.load(OLD / "exported.yaml")


def test_what_is_exported_now_is_what_it_exported(unpacked):
    for form in ("yaml", "json"):
        said = command(
            "tuning.export", "--sweep", "finished", "--to", form, "--storage", str(unpacked)
        )
        # What came later is as it was before there was a choice.
        old, new = (yaml.safe_load(text) for text in ((OLD / f"exported.{form}").read_text(), said))
        assert dict(flatten(old)).items() <= dict(flatten(new)).items()
        assert TrainConfig.from_dict(old) == TrainConfig.from_dict(new)


def test_its_training_goes_on_from_its_checkpoint(runs):
    folder = runs / "train" / "old"
    said = command("kd.train", str(folder / "config.yaml"), "--output", str(folder))
    assert "going on after epoch 1 of 3" in said
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    scores = [json.loads(line)["val_acc"] for line in lines]
    assert scores[0] == pytest.approx(14.27, abs=0.01)
    assert len(scores) == 3


def test_its_interrupted_sweep_is_resumed(runs):
    before = {t.number: t for t in read_trials(load_study(runs / "broken" / "study.log", "search"))}
    said = command("tuning.search", "--resume", "broken", "--storage", str(runs), "--local")
    assert "Best of 4 trials" in said
    trials = read_trials(load_study(runs / "broken" / "study.log", "search"))
    assert [(t.number, t.state, t.epoch) for t in trials] == [
        (number, "completed", 3) for number in range(4)
    ]
    assert trials[1].curve == before[1].curve, "a finished trial is not trained again"
    assert trials[2].curve[1] == before[2].curve[1], "a running one goes on from its checkpoint"
    assert {n: t.config for n, t in before.items()} == {n: trials[n].config for n in before}
    assert not list((runs / "broken" / "checkpoints").iterdir())
    said = command("tuning.best", "pskd", "--storage", str(runs))
    assert "broken" in said
    assert f"{max(t.score for t in trials):.2f}" in said
