"""What a trial writes and when: killed, stopped and used again, without Ray."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kd.config import SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.training import checkpoint
from kd.training.trainer import Place
from search_spaces import Space
from tuning.engine.notice import GivenBackError
from tuning.engine.pooled import Pool
from tuning.engine.trial import Work, train_trial
from tuning.engine.trial_writer import TrialWriter
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import load_study, open_study, read_trials
from tuning.study.rules import Judged
from tuning.study.searcher import StudySearcher

CONFIG = TrainConfig.paper("pskd", "resnet8", "digits", epochs=6, batch_size=25)
NEVER = Judged()
SPLIT = SplitConfig(val_fraction=0.6, train_size=50)


def work_in(folder: Path, judged=NEVER, shelf=Shelf) -> Work:
    images = train_val(open_dataset("digits").train, SPLIT)
    return Work(*images, TrialFiles(shelf=shelf(str(folder)), study="trial"), judged=judged)


def train(work: Work, tell, number: int = 0, config: TrainConfig = CONFIG, **options) -> None:
    assignment = {"lane": 0, "trial": number, "config": config.to_dict()}
    train_trial(assignment, work, cpus=1, device="cpu", tell=tell, **options)


def latest(folder: Path) -> int:
    return checkpoint.load(folder / "checkpoints" / "trial-0000.pt")["epoch"]


# -- told to go ------------------------------------------------------------------------------


def test_a_trial_leaves_after_the_epoch_it_is_in_and_goes_on_as_if_it_had_not(tmp_path):
    whole, moved = [], []
    train(work_in(tmp_path / "whole"), whole.append)
    folder = tmp_path / "moved"
    notices = iter([False, True])
    with pytest.raises(GivenBackError):
        train(work_in(folder), moved.append, leaves=lambda: next(notices))
    assert [report["epoch"] for report in moved] == [1, 2]
    assert latest(folder) == 2
    # The last epoch ends it anyway.
    train(work_in(folder), moved.append, leaves=lambda: moved[-1]["epoch"] == CONFIG.epochs)
    scores = {report["epoch"]: report["val_acc"] for report in moved}
    assert scores == {report["epoch"]: report["val_acc"] for report in whole}
    assert [report["epoch"] for report in moved[2:]] == [1, 2, 3, 4, 5, 6], "it tells all again"


# -- killed ----------------------------------------------------------------------------------

KILLED = f"""
import json, os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_trial_writer import Judged, train, work_in

def tell(report):
    print(json.dumps(report), flush=True)
    if report["epoch"] == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

train(work_in(Path(sys.argv[1]), Judged((2, 4))), tell)
"""


def killed_after(folder: Path, epoch: int) -> list[dict]:
    """What a trial tells before its process is killed, with its report of `epoch` on the way."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(epoch)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    expected = -signal.SIGKILL if epoch else 0
    assert done.returncode == expected, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class Diary:
    """What an observer such as MLflow's is told of every epoch."""

    def __init__(self) -> None:
        self.epochs: list[tuple[int, float]] = []

    def on_start(self, trial) -> None: ...

    def on_end(self, trial) -> None: ...

    def on_epoch(self, trial, epoch, metrics) -> None:
        self.epochs.append((epoch, metrics["val_acc"]))


def otherwise(report: dict) -> dict:
    """As it comes out on a GPU, where a sum depends on who adds first."""
    return {**report, "val_acc": report["val_acc"] / 2, "train_loss": -1.0}


@pytest.mark.parametrize("driver_too", [False, True])
def test_a_trial_that_is_killed_before_its_next_checkpoint_has_each_epoch_once(
    driver_too, tmp_path
):
    """Told of epoch 4, but not yet kept. It is trained again, and stays as it was told."""
    diary, path = Diary(), tmp_path / "study.log"
    first = killed_after(tmp_path, 4)
    assert [report["epoch"] for report in first] == [1, 2, 3, 4]
    kept = latest(tmp_path)
    # Epoch 2 is a rung, and nothing is on its way when 4 is told, which is another one.
    assert kept in (2, 3)
    second = killed_after(tmp_path, 0)
    assert [report["epoch"] for report in second] == [1, 2, 3, 4, 5, 6]
    seconds = {report["epoch"]: report["train_seconds"] for report in first}
    again = [r["epoch"] for r in second if r["train_seconds"] != seconds.get(r["epoch"])]
    assert again == list(range(kept + 1, 7)), "what the checkpoint holds is not trained again"

    with open_study(path, "search", create=True) as study:
        searcher = StudySearcher(study, Space({}), CONFIG, 1, observers=[diary])
        searcher.suggest()
        for report in first:
            searcher.report(0, report)
        if not driver_too:
            for report in second[:-1]:
                searcher.report(0, otherwise(report))
            searcher.end(0, second[-1])
    if driver_too:
        diary = Diary()
        with open_study(path, "search", create=False) as study:
            searcher = StudySearcher(study, Space({}), CONFIG, 1, observers=[diary])
            searcher.suggest()
            for report in second[:-1]:
                searcher.report(0, otherwise(report))
            searcher.end(0, second[-1])

    told = {report["epoch"]: report["val_acc"] for report in first}
    told |= {5: second[4]["val_acc"] / 2, 6: second[5]["val_acc"]}
    (trial,) = read_trials(load_study(path, "search"))
    assert trial.state == "completed"
    assert trial.curve == told
    written = [json.loads(line) for line in path.read_text().splitlines()]
    steps = [entry["step"] for entry in written if "intermediate_value" in entry]
    assert steps == [1, 2, 3, 4, 5, 6], "the journal has each epoch once"
    assert diary.epochs == sorted(told.items())
    assert trial.metrics["val_acc"] == trial.score


def test_a_trial_that_is_killed_with_its_last_epoch_told_has_nothing_to_train(tmp_path):
    first = killed_after(tmp_path, 6)
    assert latest(tmp_path) == 6
    student = tmp_path / "students" / "trial-0000.safetensors"
    written = student.read_bytes()
    second = killed_after(tmp_path, 0)
    assert second == first
    assert student.read_bytes() == written, "the score is that of the student that is handed out"


# -- stopped ---------------------------------------------------------------------------------


class Slow(Shelf):
    """Storage that takes its time with checkpoints."""

    def put(self, name, write):
        if name.startswith("checkpoints"):
            time.sleep(0.5)
        super().put(name, write)


class At:
    """Stops a trial after `epoch`, and deletes its files, as the driver does."""

    def __init__(self, work: Work, epoch: int) -> None:
        self.work, self.epoch = work, epoch
        self.told: list[int] = []

    def __call__(self, report: dict) -> None:
        self.told.append(report["epoch"])
        if report["epoch"] == self.epoch:
            self.work.files.discard(report["trial"])
            # So Ray ends the loop of a trial that is stopped.
            sys.exit(0)


@pytest.mark.parametrize("judged", [Judged((2, 3)), Judged(since=2)])
def test_no_file_of_a_stopped_trial_comes_after_its_end(judged, tmp_path):
    work = work_in(tmp_path, judged, Slow)
    tell = At(work, 3)
    with pytest.raises(SystemExit):
        train(work, tell)
    assert tell.told == [1, 2, 3]
    assert not [t for t in threading.enumerate() if t.name == "checkpoint"]
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_diverged_trial_too_leaves_none(tmp_path):
    wild = replace(CONFIG, optimizer=replace(CONFIG.optimizer, lr=1e12))
    work = work_in(tmp_path, Judged(), Slow)
    told: list[dict] = []

    def tell(report):
        told.append(report)
        if report.get("done"):
            work.files.discard(0)

    train(work, tell, config=wild)
    assert told[-1]["diverged"]
    time.sleep(1)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_nothing_is_written_of_a_trial_that_its_first_rung_stops(tmp_path):
    put: list[str] = []

    class Noting(Shelf):
        def put(self, name, write):
            put.append(name)
            super().put(name, write)

    work = work_in(tmp_path, Judged((1, 3)), Noting)
    with pytest.raises(SystemExit):
        train(work, At(work, 1))
    assert put == []


def test_workers_that_do_not_wait_for_an_answer_wait_for_it_before_a_state_is_kept(tmp_path):
    asked: list[int] = []
    told: list[int] = []

    def until_passed(epoch):
        assert told[-1] == epoch, "it was told"
        asked.append(epoch)

    work = work_in(tmp_path, Judged((1, 3)))
    train(work, lambda report: told.append(report["epoch"]), until_passed=until_passed)
    assert asked == [1, 3], "only where the answer may be that the trial ends, and not in the end"
    assert latest(tmp_path) == 6


def test_only_the_first_worker_writes(tmp_path):
    work = work_in(tmp_path, Judged((1,)))
    pool = Pool(CONFIG, work.train, work.val, place=Place.local("cpu"))
    trainer = pool.first
    trainer.place = replace(trainer.place, rank=1, world=2)
    writer = TrialWriter(pool, work, 0, lambda epoch: None, lambda: False)
    with writer.newest:
        metrics = trainer.run_epoch()
        writer.before_telling()
        writer.after_telling(metrics)
        trainer.epoch = CONFIG.epochs
        writer.before_telling()
    assert list(tmp_path.iterdir()) == []


# -- used again ------------------------------------------------------------------------------


def test_an_actor_that_is_used_again_and_again_keeps_nothing_of_its_trials(tmp_path):
    work = work_in(tmp_path, Judged((1, 2)))
    threads = threading.active_count()
    for number in range(30):
        with pytest.raises(SystemExit):
            train(work, At(work, 2), number)
    assert threading.active_count() == threads
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_run_that_was_kept_by_the_clock_is_the_unbroken_one(tmp_path):
    """Whatever the checkpoints before the end were: the file at the end is the same."""

    class Broken(BaseException):
        pass

    whole, broken = work_in(tmp_path / "whole"), work_in(tmp_path / "broken")
    train(whole, lambda report: None)

    def end(report):
        if report["epoch"] == 4 and not told:
            told.append(report)
            raise Broken

    told: list[dict] = []
    with pytest.raises(Broken):
        train(broken, end)
    train(broken, end)
    one, other = (
        checkpoint.load(tmp_path / name / "checkpoints" / "trial-0000.pt")
        for name in ("whole", "broken")
    )
    for part in ("method", "memories"):
        for name, tensor in one[part].items():
            assert torch.equal(tensor, other[part][name]), name
