"""Compiled steps in a sweep: where they are worth it, and one compiling for all trials."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from kd.config import SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.training import compiling
from search_spaces import Space
from tuning import confirm, search
from tuning.engine.share import Share
from tuning.engine.trial import Work, train_trial
from tuning.records import request
from tuning.records.options import Options
from tuning.records.plan import compiles
from tuning.records.presets import setting
from tuning.records.request import Flags
from tuning.records.settings import SweepSettings
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import open_study
from tuning.study.searcher import StudySearcher
from tuning.sweeps.cell import Cell

BASE = TrainConfig.paper("pskd", "resnet8", "digits", epochs=2, batch_size=25)
SPLIT = SplitConfig(val_fraction=0.6, train_size=90)
SWEEP = SweepSettings(name="compiled", base=setting("laptop", "ce").base, trials=4, grace_period=3)
LONG = {"steps": 352, "epochs": 15_360, "gpus": 0.125, "slots": 8, "rate": 185.0}


@pytest.mark.parametrize(
    ("changes", "asked", "compiled"),
    [
        ({}, LONG, True),
        ({}, LONG | {"epochs": 1560}, False),
        ({}, LONG | {"gpus": 0.0}, False),
        ({}, LONG | {"epochs": 5000, "slots": 1, "rate": None}, True),
        ({"compile": "never"}, LONG, False),
        ({"compile": "always"}, LONG | {"epochs": 1, "gpus": 0.0}, True),
        ({"workers_per_trial": 2}, LONG | {"gpus": 2.0}, False),
    ],
)
def test_where_it_is_worth_it(changes, asked, compiled):
    assert compiles(replace(SWEEP, **changes), **asked) is compiled


def test_a_cell_knows_it_once_its_share_is_known(tmp_path, capsys):
    images = open_dataset("digits").train
    settings = replace(SWEEP, storage=tmp_path)
    cell = Cell.of(settings, settings.space(), images)
    assert not cell.work.compiled
    part = Share(cpus=1, gpus=0.5, slots=2)
    assert not cell.packed(part, 500.0).work.compiled
    assert capsys.readouterr().out == ""
    long = replace(cell, settings=replace(settings, trials=100_000))
    assert long.packed(part, 500.0).work.compiled
    assert "compiled: its steps are compiled." in capsys.readouterr().out


@pytest.fixture
def work(tmp_path):
    images = train_val(open_dataset("digits").train, SPLIT)
    files = TrialFiles(shelf=Shelf(str(tmp_path)), study="trial")
    return Work(*images, files, compiled=True)


def train(work, number, config):
    told = []
    assignment = {"lane": 0, "trial": number, "config": config.to_dict()}
    train_trial(assignment, work, cpus=1, device="cpu", tell=told.append)
    return told


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++ here")
def test_trials_of_one_process_share_what_was_compiled(work):
    torch.compiler.reset()
    counters.clear()
    other = replace(BASE, seed=7, optimizer=replace(BASE.optimizer, lr=0.003))
    for number, config in enumerate((BASE, other)):
        reports = train(work, number, config)
        assert [report["epoch"] for report in reports] == [1, 2]
        assert not any("remarks" in report for report in reports)
    assert counters["stats"]["unique_graphs"] == 1
    torch.compiler.reset()


def test_what_cannot_be_compiled_is_said_once_a_sweep(work, tmp_path, monkeypatch, caplog):
    def fails(model, batch):
        raise AssertionError("a fault of the compiler")

    monkeypatch.setattr(compiling, "_compiled", lambda: fails)
    reports = [train(work, number, replace(BASE, seed=number)) for number in (0, 1)]
    assert [["remarks" in report for report in told] for told in reports] == [[True, False]] * 2
    with (
        open_study(tmp_path / "study.log", "search", create=True) as study,
        caplog.at_level(logging.WARNING),
    ):
        searcher = StudySearcher(study, Space({}), BASE, 2)
        for number, told in enumerate(reports):
            assert searcher.suggest().number == number
            for report in told:
                searcher.report(number, report)
            searcher.end(number)
    assert [record.getMessage() for record in caplog.records] == [
        "Trial 0: Steps are not compiled, as that failed (a fault of the compiler)."
    ]


# -- what is typed -------------------------------------------------------------------------------


def refused(command, words, capsys):
    with pytest.raises(SystemExit) as end:
        command.main(words)
    assert end.value.code == 2
    return capsys.readouterr().err


def test_without_a_compiler_nothing_is_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    storage = tmp_path / "runs"
    asked = ["ce", "--preset", "laptop", "--local", "--compile", "always"]
    said = refused(search, [*asked, "--storage", str(storage)], capsys)
    assert said.startswith("error: --compile always needs a compiler, and there is no g++ here;")
    assert len(said.splitlines()) == 1
    assert not storage.exists()
    assert "always needs a compiler" in refused(search, [*asked, "--dry-run"], capsys)


def test_confirm_asks_for_the_compiler_of_its_sweep(tmp_path, monkeypatch, capsys):
    shutil.unpack_archive(Path(__file__).parents[1] / "old" / "runs.tar.gz", tmp_path)
    (tmp_path / "runs" / "finished" / "confirm.json").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    asked = ["finished", "--storage", str(tmp_path / "runs"), "--compile", "always"]
    assert "always needs a compiler" in refused(confirm, asked, capsys)


def test_a_resumed_sweep_may_be_given_it_anew(tmp_path):
    settings = replace(SWEEP, storage=tmp_path)
    settings.save()
    kept = SweepSettings.load(tmp_path, "compiled")
    assert kept.compile == "auto"
    flags = Flags(resume=("compiled",), options=Options(storage=tmp_path, compile="never"))
    assert request.sweeps(flags, gpus=0)[0].compile == "never"
