"""A real search whose trials have two seeds each, on two workers: what is kept and handed out."""

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
    storage: Path
    said: str
    result: SweepResult


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Pooled:
    storage = tmp_path_factory.mktemp("pooled")
    short = ["--trials", "2", "--epochs", "2", "--scheduler", "none", "--search-optimizer"]
    asked = ["--seeds-per-trial", "2", "--workers-per-trial", "2", "--name", NAME]
    said = finish(start(storage, "ce", "--preset", "laptop", "--local", *short, *asked))
    return Pooled(storage, said, load_result(storage, NAME))


def test_its_epochs_count_twice_and_its_best_is_a_mean(pooled: Pooled) -> None:
    result, best = pooled.result, pooled.result.best
    assert "2 trials of at most 2 epochs on 2 seeds, about 8 epochs in all" in pooled.said
    assert "8 epochs trained in" in pooled.said
    assert "mean of 2 seeds, not confirmed" in pooled.said
    assert "(mean of 2 seeds)" in pooled.said
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
    (version,) = read_all(store)
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


def test_it_goes_on_and_is_confirmed_on_seeds_of_its_own(pooled: Pooled) -> None:
    """Under a bound that the confirmation counts towards, an epoch of which is one."""
    flags = ["--resume", NAME, "--trials", "3", "--confirm", "--epochs-total", "24"]
    said = finish(start(pooled.storage, *flags))
    result = load_result(pooled.storage, NAME)
    assert [trial.trained for trial in result.trials] == [4, 4, 4]
    assert "12 epochs trained in" in said
    assert "Search and confirmation: 24 epochs trained in" in said
    assert "12 epochs of it to confirm." in said
