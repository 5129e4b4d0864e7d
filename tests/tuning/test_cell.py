"""How a sweep ends: kept, registered and closed, whatever becomes of its report."""

import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow_store import empty_store
from synthetic import sweep_result

from kd.config import TeacherConfig, TrainConfig
from kd.data import open_dataset
from kd.errors import UserError
from tuning.records.result import SweepResult, load_result
from tuning.records.settings import SweepSettings
from tuning.sweeps.cell import Cell, finish
from tuning.tracking.lookup import best_config


class Played:
    """A search that is over."""

    def __init__(self, result: SweepResult) -> None:
        self.sweep = result.sweep
        self.trials = lambda: list(result.trials)


def no_template(result: SweepResult, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr("tuning.reports.files.render", fail)


def in_the_way(result: SweepResult, monkeypatch: pytest.MonkeyPatch) -> None:
    (result.sweep.folder / "curves.png").mkdir()


def all_right(result: SweepResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """A winner that gets every image of val right."""
    assert result.best is not None
    result.best.curve[9] = 100.0


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (no_template, "ZeroDivisionError: float division by zero"),
        (in_the_way, "curves.png cannot be written: it is a folder"),
        (all_right, None),
    ],
)
def test_a_sweep_is_registered_and_closed_whatever_becomes_of_its_report(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[SweepResult, pytest.MonkeyPatch], None],
    why: str | None,
) -> None:
    store = empty_store(tmp_path)
    result = sweep_result(tmp_path / "s", trials=4, stopping=False)
    result.sweep.settings.save()
    spoil(result, monkeypatch)
    settings = result.sweep.settings
    cell = Cell.of(settings, settings.space(), open_dataset("digits").train)
    search = Played(SweepResult(cell.about(), result.trials))
    said: list[str] = []
    with cell.tracker() as tracker:
        for trial in result.trials:
            tracker.catch_up(trial)
        ended = finish(cell, search, tracker, "finished", said.append)  # type: ignore[arg-type]
    assert ended.best is result.best
    assert result.best is not None
    assert best_config("lsskd", "resnet8", "digits", storage=tmp_path).to_dict() == (
        result.best.config
    )
    client = store.connect()
    experiment = client.get_experiment_by_name("lsskd.resnet8.digits")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    if why is None:
        assert said == []
        assert (settings.folder / "report.html").exists()
    else:
        (sentence,) = said
        assert why in sentence
        assert f"python -m tuning.report s --storage {tmp_path}" in sentence


def test_a_sweep_whose_teacher_saw_val_stands_for_no_cell(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    result = sweep_result(tmp_path / "s", trials=4, stopping=False)
    cut = result.trials[3]
    cut.state, cut.gpus = "running", 0.5
    result.sweep.settings.save()
    settings = result.sweep.settings
    cell = Cell.of(settings, settings.space(), open_dataset("digits").train)
    teacher = TeacherConfig(weights="t.safetensors", saw_val=True)
    taught = TrainConfig.paper("kd", "resnet8", "digits", teacher=teacher)
    search = Played(SweepResult(cell.about(), result.trials))
    said: list[str] = []
    with cell.tracker() as tracker:
        for trial in result.trials[:3]:
            tracker.catch_up(trial)
        cell = replace(cell, base=taught)
        ended = finish(cell, search, tracker, "finished", said.append)  # type: ignore[arg-type]
    assert [sentence.partition(":")[0] for sentence in said] == [
        f"{settings.name} does not stand for its cell in tuning.best"
    ]
    with pytest.raises(UserError):
        best_config("lsskd", "resnet8", "digits", storage=tmp_path)
    # A trial that a bound cut short has its costs all the same.
    (sweep,) = store.connect().search_runs(["1"], "tags.`kd.sweep_id` != ''")
    costs = {name: sweep.data.metrics[f"cost.{name}"] for name in ("epochs", "gpu_seconds")}
    assert costs == {"epochs": ended.epochs_spent, "gpu_seconds": ended.gpu_seconds}
    assert sweep.data.metrics["cost.seconds"] == pytest.approx(ended.trial_seconds)
    assert sweep.data.metrics["trials.completed"] == 3


def test_one_that_is_interrupted_before_it_goes_on_keeps_its_report(tmp_path: Path) -> None:
    with tarfile.open(Path(__file__).parents[1] / "old" / "runs.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    empty_store(tmp_path / "runs")
    settings = SweepSettings.load(tmp_path / "runs", "finished")
    cell = Cell.of(settings, settings.space(), open_dataset("digits").train)
    with cell.tracker() as tracker:
        ended = finish(cell, None, tracker, "interrupted")
    known = load_result(tmp_path / "runs", "finished")
    assert len(ended.trials) == len(known.trials) > 0
    assert ended.best_score == known.best_score
