"""Storage that is full, or holds half a file: its trial goes on later, and no trial is failed."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from full_disk import no_file_above

from kd.config import SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.errors import UserError
from kd.parts.history import Histories
from search_spaces import Space
from tuning.engine.trial import Work, ended_by, train_trial
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import open_study
from tuning.study.searcher import StudySearcher

CONFIG = TrainConfig.paper("pskd", "resnet8", "digits", epochs=3, batch_size=25)
ASSIGNMENT = {"lane": 0, "trial": 0, "config": CONFIG.to_dict()}
SPLIT = SplitConfig(val_fraction=0.6, train_size=50)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    images = train_val(open_dataset("digits").train, SPLIT)
    return Work(*images, TrialFiles(shelf=Shelf(str(tmp_path)), study="trial"))


@contextmanager
def searching(folder: Path, **options) -> Iterator[StudySearcher]:
    with open_study(folder / "study.log", "search", create=True) as study:
        yield StudySearcher(study, Space({}), CONFIG, 2, **options)


def train(work: Work, tell=lambda report: None) -> list[dict]:
    """Train the trial as the engine does, without Ray; its reports."""
    reports: list[dict] = []

    def note(report: dict) -> None:
        reports.append(report)
        tell(report)

    try:
        train_trial(ASSIGNMENT, work, cpus=1, device="cpu", tell=note)
    except Exception as error:
        reports.append(ended_by(error, ASSIGNMENT))
    return reports


def test_trials_share_the_memory_of_a_machine_as_they_share_its_cores(work, monkeypatch):
    places = []

    def watched(config, train, place):
        places.append(place.beside)
        return Histories()

    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("kd.training.building.histories", watched)
    for cpus in (1, 3, 8, 16):
        train_trial(ASSIGNMENT, work, cpus=cpus, device="cpu", tell=lambda report: None)
    assert places == [8, 2, 1, 1]


def record(searcher: StudySearcher, reports: list[dict]) -> None:
    for report in reports[:-1]:
        searcher.report(0, report)
    searcher.end(0, reports[-1])


class Watching:
    """Notes which trials ended."""

    def __init__(self) -> None:
        self.ended: list[int] = []

    def on_start(self, trial) -> None: ...

    def on_epoch(self, trial, epoch, metrics) -> None: ...

    def on_end(self, trial) -> None:
        self.ended.append(trial.number)


# -- no room ---------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 100_000])
def test_a_trial_whose_files_find_no_room_goes_on_when_they_do(room, work, tmp_path, monkeypatch):
    monkeypatch.setattr("tuning.storage.patience.PAUSES", ())
    watching = Watching()
    with searching(tmp_path, observers=[watching]) as searcher:
        assert searcher.suggest().number == 0
        with no_file_above(room):
            reports = train(work)
        record(searcher, reports)
        unfinished = r"^A training is unfinished: the storage does not answer"
        with pytest.raises(UserError, match=unfinished):
            searcher.suggest()
    assert watching.ended == [], "nobody throws its files away"
    assert list((tmp_path / "checkpoints").iterdir()) == [], "half a file is none"
    with searching(tmp_path, observers=[watching]) as searcher:
        assert searcher.records[0].state == "running"
        assert searcher.suggest().number == 0
        record(searcher, train(work))
        assert searcher.records[0].state == "completed"
        assert searcher.suggest().number == 1
    assert watching.ended == [0]


def test_a_full_disk_is_called_that():
    full = OSError(errno.ENOSPC, "No space left on device")
    last = ended_by(full, ASSIGNMENT)
    assert last["failed"] == "the disk is full; free some space"
    assert last["unstored"]
    assert "unstored" not in ended_by(ValueError("a bug"), ASSIGNMENT)


def test_what_ends_after_the_study_could_not_be_written_keeps_its_files(
    work, tmp_path, monkeypatch
):
    monkeypatch.setattr("tuning.storage.patience.PAUSES", ())
    watching = Watching()
    with searching(tmp_path, observers=[watching]) as searcher:
        searcher.suggest()
        reports = train(work)
        with no_file_above(0):
            record(searcher, reports)
    assert watching.ended == []
    with searching(tmp_path, observers=[watching]) as searcher:
        searcher.suggest()
        again = train(work)
        assert [r["train_seconds"] for r in again] == [r["train_seconds"] for r in reports]


def test_what_a_killed_writer_left_goes_with_its_file(work, tmp_path):
    target = tmp_path / "checkpoints" / "trial-0000.pt"
    code = f"""
import os, pathlib
from kd.files import replacing
with replacing(pathlib.Path({str(target)!r})) as file:
    file.write(bytes(1000))
    os.kill(os.getpid(), 9)
"""
    target.parent.mkdir()
    neighbour = target.with_name(".trial-0000.pt.notes")
    neighbour.touch()
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=False)
    assert len(list(target.parent.iterdir())) == 3
    work.files.discard(0)
    assert list(target.parent.iterdir()) == [neighbour]


# -- a checkpoint that cannot be read --------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def another_state(path: Path) -> None:
    torch.save({"epoch": 2}, path)


def weights_that_do_not_fit(path: Path) -> None:
    state = torch.load(path)
    state["method"] = {name: tensor[None] for name, tensor in state["method"].items()}
    torch.save(state, path)


@pytest.mark.parametrize("damage", [cut, empty, another_state, weights_that_do_not_fit])
def test_a_trial_begins_again_where_its_checkpoint_cannot_be_read(damage, work, tmp_path, caplog):
    class KillError(BaseException):
        pass

    def kill(report: dict) -> None:
        if report["epoch"] == 2:
            raise KillError

    with searching(tmp_path) as searcher:
        searcher.suggest()
        first: list[dict] = []
        with pytest.raises(KillError):
            train(work, lambda report: (first.append(report), kill(report)))
        searcher.report(0, first[0])
    damage(tmp_path / "checkpoints" / "trial-0000.pt")
    with searching(tmp_path) as searcher:
        assert searcher.suggest().number == 0
        reports = train(work)
        record(searcher, reports)
        assert [report["epoch"] for report in reports] == [1, 2, 3]
        assert reports[0]["val_acc"] == first[0]["val_acc"]
        assert searcher.records[0].state == "completed"
        assert sorted(searcher.records[0].curve) == [1, 2, 3]
    said = [entry.getMessage() for entry in caplog.records]
    assert said == ["Trial 0 begins again: its checkpoint cannot be read."]
