"""Trials that share a GPU: how many, and what becomes of one that does not fit."""

from dataclasses import replace

import pytest
import torch

from kd.config import TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.errors import UserError
from search_spaces import Space, load_space
from tuning.engine import packing
from tuning.engine import run as engine
from tuning.engine.lanes import Lane, LaneSearcher
from tuning.engine.packing import footprint, share_of, trials_on_a_gpu
from tuning.engine.share import Share, share
from tuning.engine.trial import Work
from tuning.records.presets import setting
from tuning.records.settings import SweepSettings
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import open_study, read_trials
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import make_stopping

GIB = 2**30
BASE = setting("laptop", "ce").base
AUTO = SweepSettings(name="packed", base=BASE, trials=4, gpus_per_trial="auto", grace_period=3)
GPUS = [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 8.0}]

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no GPU here.")


@pytest.mark.parametrize(
    ("used", "total", "cores", "count"),
    [(10, 80, 16, 6), (10, 80, 4, 4), (70, 80, 16, 1), (80, 80, 16, 1), (1, 80, 0, 1)],
)
def test_as_many_trials_as_fit_with_a_margin_and_have_a_core(used, total, cores, count):
    assert trials_on_a_gpu(used * GIB, total * GIB, cores) == count


def test_auto_is_a_whole_gpu_until_a_trial_was_tried_out(monkeypatch, capsys):
    assert share_of(AUTO, GPUS) == share(GPUS, None, 1.0)
    monkeypatch.setattr(packing, "_try_out", lambda jobs, whole: (20 * GIB, 80 * GIB))
    part = share_of(AUTO, GPUS, [(BASE, None)])
    assert (part.gpus, part.slots, part.cpus) == (0.3333, 6, 2)
    assert "takes 20.0 of a GPU's 80 GiB: 3 share one" in capsys.readouterr().out
    few = share_of(replace(AUTO, cpus_per_trial=4), GPUS, [(BASE, None)])
    assert (few.gpus, few.slots, few.cpus) == (0.5, 4, 4), "a trial without cores is no trial"


def test_auto_asks_for_nothing_where_there_is_no_gpu():
    assert share_of(AUTO, [{"CPU": 2.0}], [(BASE, None)]) == share([{"CPU": 2.0}], None, None)


def test_auto_is_for_trials_of_one_worker():
    with pytest.raises(UserError, match="drop --workers-per-trial"):
        replace(AUTO, workers_per_trial=2)


@pytest.mark.parametrize("gpus", [1.0, 0.5, 0.3333, 0.4, 0.0625])
def test_whole_gpus_are_as_many_as_there_are(gpus):
    part = share([{"CPU": 64.0, "GPU": 2.0}], 1, gpus).on_whole_gpus()
    assert part.gpus == 1
    assert 1 <= part.slots <= 2


def test_a_trial_that_ran_out_of_memory_goes_on_at_the_end_and_is_told_once(tmp_path, monkeypatch):
    """The GPU is played: its memory holds half a trial in the first run."""
    runs = []

    def play(lanes, part, folder):
        runs.append((part.gpus, []))
        searcher = LaneSearcher(lanes)
        while not isinstance(assignment := searcher.suggest(f"t{len(runs[-1][1])}"), str):
            number, trial_id = assignment["trial"], f"t{len(runs[-1][1])}"
            runs[-1][1].append(number)
            searcher.on_trial_result(trial_id, {"trial": number, "epoch": 1, "val_acc": 40.0})
            last = {"trial": number, "epoch": 2, "val_acc": 50.0, "done": True}
            if number == 1:
                reason = {"failed": "the GPU's memory is full", "val_acc": float("nan")}
                last |= {"epoch": 0, **reason, "starved": part.gpus < 1}
            searcher.on_trial_complete(trial_id, last)

    monkeypatch.setattr(engine, "_run", play)
    base = TrainConfig.paper("pskd", "resnet8", "digits", epochs=2)
    with open_study(tmp_path / "study.log", "search", create=True) as study:
        searcher = StudySearcher(study, load_space("pskd", "resnet8"), base, 3)
        work = Work(None, None, TrialFiles(shelf=Shelf(str(tmp_path)), study="trial"))
        lanes = [Lane(searcher, make_stopping("none", 2), work)]
        engine.run_trials(lanes, Share(cpus=1, gpus=0.25, slots=4), tmp_path)
        assert runs == [(0.25, [0, 1, 2]), (1.0, [1])]
        records = read_trials(study)
    assert [r.state for r in records] == ["completed", "failed", "completed"]
    assert records[1].reason == "the GPU's memory is full"
    assert records[1].curve == {1: 40.0}


@needs_gpu
def test_a_training_is_tried_out_on_the_gpu(tmp_path):
    images = train_val(open_dataset("digits").train, BASE.split)
    work = Work(*images, TrialFiles(shelf=Shelf(str(tmp_path)), study="trial"))
    used, total = footprint(BASE, work)
    assert 0 < used < total


@needs_gpu
def test_a_share_that_is_too_small_is_retried_on_a_whole_gpu(tmp_path):
    """A quarter of a GPU, limited to almost nothing, then all of it."""
    from tuning.engine.run import run_trials
    from tuning.engine.runtime import connected

    images = train_val(open_dataset("digits").train, BASE.split)
    base = replace(BASE, epochs=1)
    with connected(), open_study(tmp_path / "study.log", "search", create=True) as study:
        searcher = StudySearcher(study, Space({}), base, 2)
        work = Work(*images, TrialFiles(shelf=Shelf(str(tmp_path)), study="trial"))
        lane = Lane(searcher, make_stopping("none", 1), work)
        run_trials([lane], Share(cpus=1, gpus=0.0001, slots=2), tmp_path)
    assert [r.state for r in searcher.records.values()] == ["completed"] * 2
