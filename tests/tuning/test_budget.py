"""A search that is bounded by what it may spend ends there, and goes on where it may spend more."""

import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from kd.config import TrainConfig
from search_spaces import load_space
from tuning.records.result import load_result
from tuning.study.budget import Budget, merged, seconds
from tuning.study.searcher import StudySearcher
from tuning.study.trials import TrialRecord

BASE = TrainConfig.paper("pskd", "resnet8", "digits", epochs=4)


def trial(number: int, epochs: int, spans: tuple[tuple[float, float], ...], gpus: float = 0.0):
    curve = dict.fromkeys(range(1, epochs + 1), 50.0)
    return TrialRecord(number=number, config={}, curve=curve, spans=spans, gpus=gpus)


def test_each_bound_counts_what_it_says() -> None:
    trials = [trial(0, 3, ((0, 1800), (7200, 9000)), 0.5), trial(1, 4, ((0, 3600),), 0.5)]
    assert merged(trials) == [(0, 3600), (7200, 9000)]
    assert seconds(trials) == 5400
    assert Budget().spent(trials) == ""
    assert Budget(epochs=8).spent(trials) == ""
    assert Budget(epochs=7).spent(trials) == "7 epochs"
    assert Budget(hours=1.51).spent(trials) == ""
    assert Budget(hours=1.5).spent(trials) == "1.5 hours"
    assert Budget(gpu_hours=1.01).spent(trials) == ""
    assert Budget(gpu_hours=1).spent(trials) == "1 GPU-hours"


def play(searcher: StudySearcher, slots: int = 2) -> None:
    """Epoch by epoch, each slot in turn, as long as anybody wants to know."""
    running: list[TrialRecord] = []
    while True:
        while len(running) < slots and (record := searcher.suggest()):
            running.append(record)
        if not running:
            return
        for record in list(running):
            epoch = record.epoch + 1
            report = {"trial": record.number, "epoch": epoch, "val_acc": 50.0 + record.number}
            if not searcher.wants(record.number) or epoch == 4:
                searcher.end(record.number, report)
                running.remove(record)
            else:
                searcher.report(record.number, report)


def test_a_search_ends_when_it_is_spent_and_goes_on_with_more() -> None:
    study = optuna.create_study(direction="maximize")
    space = load_space("pskd", "resnet8")
    first = StudySearcher(study, space, BASE, 9, budget=Budget(epochs=10))
    play(first)
    spent = sum(record.epoch for record in first.records.values())
    # Each of two slots may end the epoch that it is in.
    assert 10 <= spent <= 12
    assert first.over == "10 epochs"
    states = [record.state for record in first.records.values()]
    assert states.count("running") == 2, "cut short, they are neither stopped nor failed"
    same = StudySearcher(study, space, BASE, 9, budget=Budget(epochs=10))
    assert same.suggest() is None
    more = StudySearcher(study, space, BASE, 9, budget=Budget(epochs=25))
    again = more.suggest()
    assert again
    assert again.epoch > 0, "those that were cut short go on first"
    more.end(again.number, {"trial": again.number, "epoch": 4, "val_acc": 60.0})
    play(more)
    assert more.records[again.number].state == "completed"
    assert StudySearcher(study, space, BASE, 9).suggest() is not None


def run(*words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tuning.search", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_real_search_keeps_its_budget(tmp_path: Path) -> None:
    kept = ["--storage", str(tmp_path)]
    said = run(
        "ce", "--preset", "laptop", "--local", "--trials", "50", "--epochs", "3", "--name", "b",
        "--epochs-total", "12", "--scheduler", "none", "--search-optimizer", *kept,
    )  # fmt: skip
    assert "about 12 in all" in said
    assert "It ended as its 12 epochs were spent" in said
    result = load_result(tmp_path, "b")
    assert 12 <= result.epochs_spent <= 12 + result.sweep.slots
    assert result.best
    said = run("--resume", "b", "--epochs-total", "18", *kept)
    assert "It ended as its 18 epochs were spent" in said
    more = load_result(tmp_path, "b")
    assert 18 <= more.epochs_spent <= 18 + more.sweep.slots
    assert [t.config for t in more.trials[: len(result.trials)]] == [
        t.config for t in result.trials
    ]


@pytest.mark.parametrize(
    ("flag", "value"), [("--epochs-total", "0"), ("--hours", "-1.0"), ("--gpu-hours", "0.0")]
)
def test_a_budget_of_nothing_is_refused(flag: str, value: str, tmp_path: Path) -> None:
    said = run("ce", "--preset", "laptop", flag, value, "--storage", str(tmp_path), code=2)
    assert f"{flag} is {value}; it must be from" in said
