"""A real search whose trials have two seeds each, on two workers: what is kept and handed out.

What confirming it counts is in test_budget.
"""

from pathlib import Path
from typing import NamedTuple

import pytest
from real_sweeps import finish, journal, start

from kd.training.checkpoint import load_weights
from tuning.records.result import SweepResult, load_result
from tuning.tracking.store import Store
from tuning.tracking.versions import read_all

NAME = "pooled"


class Pooled(NamedTuple):
    """A sweep of one trial, which goes on with another."""

    storage: Path
    said: str
    more: str
    result: SweepResult


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Pooled:
    storage = tmp_path_factory.mktemp("pooled")
    short = ["--trials", "1", "--epochs", "2", "--scheduler", "none", "--search-optimizer"]
    asked = ["--seeds-per-trial", "2", "--workers-per-trial", "2", "--name", NAME]
    said = finish(start(storage, "ce", "--preset", "laptop", "--local", *short, *asked))
    more = finish(start(storage, "--resume", NAME, "--trials", "2"))
    return Pooled(storage, said, more, load_result(storage, NAME))


def test_its_epochs_count_twice_and_its_best_is_a_mean(pooled: Pooled) -> None:
    result, best = pooled.result, pooled.result.best
    assert "1 trial of at most 2 epochs on 2 seeds, about 4 epochs in all" in pooled.said
    assert "4 epochs trained in" in pooled.said
    assert "8 epochs trained in" in pooled.more
    assert "mean of 2 seeds, not confirmed" in pooled.more
    assert "(mean of 2 seeds)" in pooled.more
    assert [trial.seeds for trial in result.trials] == [2, 2]
    assert [trial.user_attrs["seeds"] for trial in journal(pooled.storage, NAME)] == [2, 2]
    assert best
    for trial in result.trials:
        assert trial.metrics["val_acc"] == trial.score
        assert trial.metrics["val_acc_sd"] > 0
    _, about = load_weights(pooled.storage / NAME / "student.safetensors")
    # Two scores are as far from their mean as their deviation is times the root of a half.
    away = abs(about["val_acc"] - (best.score or 0.0))
    assert away == pytest.approx(best.metrics["val_acc_sd"] / 2**0.5)


def test_mlflow_has_the_mean_and_its_deviation(pooled: Pooled) -> None:
    store = Store.at(pooled.storage, None)
    client = store.connect()
    version, *_ = read_all(store)
    assert version.confirmed == "mean of 2 seeds, not confirmed"
    assert not version.is_confirmed
    assert version.score == pooled.result.best_score
    assert dict(version.protocol)["seeds"] == "2"
    (experiment,) = client.search_experiments(filter_string="name LIKE 'ce.%'")
    runs = client.search_runs([experiment.experiment_id])
    of_trials = [run.data for run in runs if "kd.trial_id" in run.data.tags]
    assert [data.metrics["cost.epochs"] for data in of_trials] == [4, 4]
    known = {trial.number: trial for trial in pooled.result.trials}
    for data in of_trials:
        trial = known[int(data.tags["kd.trial_id"].rpartition("/")[2])]
        assert data.metrics["val_acc"] == trial.score
        assert data.metrics["val_acc_sd"] == trial.metrics["val_acc_sd"]
