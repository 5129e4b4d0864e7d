"""The winner again on paired seeds, and the test set opened once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from scipy.stats import ttest_rel
from synthetic import sweep_result

from kd.backbones import build_backbone
from kd.data import open_dataset
from kd.data.device_loader import statistics
from kd.errors import UserError
from kd.training.evaluate import test_scores as scores_on_test
from tuning.records.findings import mean_deviation, paired
from tuning.sweeps.confirmation import candidates


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_confirmed_sweep_has_paired_seeds_and_one_look_at_test(cells):
    name, kept = cells.pskd, ["--storage", str(cells.storage)]
    said = run("tuning.confirm", name, "--seeds", "2", "--top", "2", *kept)
    path = cells.storage / name / "confirm.json"
    found = json.loads(path.read_text())
    assert found["seeds"] == [1, 2]
    assert {len(values) for values in found["val_acc"].values()} == {2}
    assert set(found["test"]) == {"0", str(found["winner"])}
    assert "n = 2" in said
    assert not list((cells.storage / name / "students").glob("confirm-*"))

    before = path.stat().st_mtime_ns
    again = run("tuning.confirm", name, "--seeds", "5", *kept)
    assert "was opened before" in again
    assert path.stat().st_mtime_ns == before

    client = MlflowClient(f"sqlite:///{cells.storage / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`kd.confirms` = '{name}'")
    assert len(runs) == 4
    by_seed = {r.data.tags["kd.seed_id"]: r.data.metrics["test_acc"] for r in runs}
    assert by_seed[f"{name}/0/1"] == pytest.approx(found["test"]["0"][0]["test_acc"])
    trials = {r.info.run_id for r in client.search_runs(experiments, "tags.`kd.trial_id` LIKE '%'")}
    assert all(r.data.tags["mlflow.parentRunId"] in trials for r in runs)


def test_the_default_and_the_best_other_trials_compete(tmp_path: Path):
    result = sweep_result(tmp_path / "sweep")
    chosen = candidates(result, 2)
    done = {t.number: t.score for t in result.of("completed") if t.number}
    best = sorted(done, key=lambda n: -done[n])[:2]
    assert list(chosen) == [0, *best]


def test_a_sweep_without_a_rival_of_the_default_is_refused(tmp_path: Path):
    result = sweep_result(tmp_path / "sweep", trials=1)
    with pytest.raises(UserError, match="no completed trial beside"):
        candidates(result, 1)


def test_the_difference_is_paired_by_seed():
    winner, default = [80.0, 70.0, 90.0], [79.0, 68.5, 89.0]
    difference, p = paired(winner, default)
    assert difference == pytest.approx(3.5 / 3)
    assert p == pytest.approx(ttest_rel(winner, default).pvalue)
    assert p < 0.05, "although the seeds differ by twenty points"
    assert paired([80.0], [79.0]) == (1.0, None)
    assert mean_deviation([80.0, 82.0]) == "81.00 ± 1.41 % (n = 2)"


def test_scores_are_the_networks_own():
    torch.manual_seed(0)
    dataset = open_dataset("digits")
    test = dataset.load_test()
    network = build_backbone("resnet8", 10, 1)
    mean, deviation = statistics(dataset.train)
    scores = scores_on_test(network, test, (mean, deviation), "cpu")
    pixels = torch.from_numpy(test.images).float() / 255
    with torch.no_grad():
        logits = network.eval()((pixels - mean[0]) / deviation[0])
    expected = 100 * (logits.argmax(1).numpy() == test.labels).mean()
    assert scores["test_acc"] == pytest.approx(expected, abs=0.21)
    assert set(scores) == {"test_acc", "test_acc5", "test_ece", "test_nll"}
