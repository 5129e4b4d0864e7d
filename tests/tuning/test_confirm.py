"""Who competes when a sweep is confirmed, and that it can be interrupted."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from synthetic import sweep_result

from kd.backbones import build_backbone
from kd.data import open_dataset
from kd.data.device_loader import statistics
from kd.errors import UserError
from kd.training.evaluate import test_scores as scores_on_test
from tuning.records.findings import Findings, Opening
from tuning.records.result import load_result
from tuning.study.journal import load_study, open_study, read_trials
from tuning.study.trials import TrialRecord
from tuning.sweeps.candidates import PLAN, Asked, candidates, check_asked, planned


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_confirmation_that_was_cut_off_goes_on(cells):
    """Interrupted after some trainings, it repeats none, and may be given more seeds."""
    name, kept = cells.pskd, ["--storage", str(cells.storage)]
    folder = cells.storage / name
    command = [sys.executable, "-m", "tuning.confirm", name, "--top", "1", "--seeds", "5", *kept]
    begun = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert begun.stdout
    for line in begun.stdout:
        if " 1/10  " in line:
            begun.send_signal(signal.SIGINT)
            break
    rest = begun.stdout.read()
    assert begun.wait() == 130
    assert "The test set is still sealed." in rest
    assert not (folder / "confirm.json").exists()
    ended = [r.number for r in trainings(folder) if r.state == "completed"]
    assert ended

    with pytest.raises(UserError, match=r"began with trials .* on at most 5 seeds"):
        planned(load_result(cells.storage, name), Asked(top=2), "confirm")
    said = run("tuning.confirm", name, "--seeds", "6", *kept)
    found = json.loads((folder / "confirm.json").read_text())
    assert found["seeds"] == list(range(1, len(found["seeds"]) + 1))
    assert (found["most"], len(found["openings"])) == (6, 1)
    assert "The test set was opened once." in said
    after = trainings(folder)
    done = [(r.config["seed"], r.config["kd"]) for r in after if r.state == "completed"]
    assert all(done.count(one) == 1 for one in done)
    assert not list((folder / "students").glob("confirm-*"))

    client = MlflowClient(f"sqlite:///{cells.storage / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`kd.confirms` = '{name}'")
    assert len(runs) == sum(map(len, found["val_acc"].values()))
    tested = {r.data.tags["kd.seed_id"]: r.data.metrics.get("test_acc") for r in runs}
    assert tested[f"{name}/0/1"] == pytest.approx(found["test"]["0"][0]["test_acc"])
    opened = sum(map(len, found["test"].values()))
    assert len([score for score in tested.values() if score is not None]) == opened
    trials = {r.info.run_id for r in client.search_runs(experiments, "tags.`kd.trial_id` LIKE '%'")}
    assert all(r.data.tags["mlflow.parentRunId"] in trials for r in runs)


def trainings(folder: Path) -> list[TrialRecord]:
    return read_trials(load_study(folder / "confirm.log", "confirm"))


def test_the_default_and_the_best_other_trials_compete(tmp_path: Path):
    result = sweep_result(tmp_path / "sweep")
    chosen = candidates(result, 2)
    done = {t.number: t.score for t in result.of("completed") if t.number}
    best = sorted(done, key=lambda n: -done[n])[:2]
    assert list(chosen) == [0, *best]
    assert list(candidates(result, 3, [5, 2, 5])) == [0, 5, 2]
    with pytest.raises(UserError, match="no trial 99 beside the paper's default; give one of 1"):
        candidates(result, 3, [99])
    with pytest.raises(UserError, match="no trial 0 beside"):
        candidates(result, 3, [0])
    for other in done:
        result.trials[other].config = result.trials[other].config | {"seed": other}
    alone = dataclasses.replace(result, trials=[result.trials[0], result.trials[0]])
    alone.trials[1] = dataclasses.replace(result.trials[0], number=1)
    with pytest.raises(UserError, match="whose configuration is not the default's"):
        candidates(alone, 3)
    twin = next(t for t in result.trials if t.number == best[1])
    twin.config = result.trials[best[0]].config
    assert best[1] not in candidates(result, 3)


def test_a_sweep_without_a_rival_of_the_default_is_refused(tmp_path: Path):
    result = sweep_result(tmp_path / "sweep", trials=1)
    again = f"search on: python -m tuning.search --resume sweep --storage {tmp_path}"
    with pytest.raises(UserError, match=f"no completed trial beside .*; {again} --trials 5$"):
        candidates(result, 1)
    # What ended it is raised, and what did not is left as it was.
    most = {"hours": 0.001, "epochs_total": 9, "gpu_hours": 99.0, "trials": None}
    settings = dataclasses.replace(result.sweep.settings, **most)
    result = dataclasses.replace(result, sweep=dataclasses.replace(result.sweep, settings=settings))
    hours = f"{2 * result.seconds / 3600:.3g}"
    with pytest.raises(UserError, match=f"; {again} --epochs-total 18 --hours {hours}$"):
        candidates(result, 1)
    # One that was only interrupted has trials left.
    settings = dataclasses.replace(settings, hours=None, epochs_total=None, trials=8)
    result = dataclasses.replace(result, sweep=dataclasses.replace(result.sweep, settings=settings))
    with pytest.raises(UserError, match=f"; {again}$"):
        candidates(result, 1)


def test_seeds_that_decide_nothing_are_refused(tmp_path: Path):
    result = sweep_result(tmp_path / "sweep")
    with pytest.raises(UserError, match="with 3 candidates beside the default give at least"):
        planned(result, Asked(seeds=2), "confirm")
    assert planned(result, Asked(top=1, seeds=5), "confirm").seeds == 5
    assert len(planned(result, Asked(), "confirm").trials) == 4


def test_a_sweep_of_a_comparison_is_trained_on_its_seeds_whoever_competes(tmp_path: Path):
    def compared(result, seeds):
        settings = dataclasses.replace(result.sweep.settings, compared_on=seeds)
        sweep = dataclasses.replace(result.sweep, settings=settings)
        return dataclasses.replace(result, sweep=sweep)

    many = compared(sweep_result(tmp_path / "sweep"), 8)
    plan = planned(many, Asked(), "confirm")
    assert (plan.seeds, plan.fill, len(plan.trials)) == (10, 8, 4)
    # A race needs more seeds than are compared, to decide anything.
    few = planned(compared(many, 2), Asked(), "confirm")
    assert (few.seeds, few.fill) == (10, 2)
    alone = planned(compared(sweep_result(tmp_path / "alone", trials=1), 7), Asked(), "confirm")
    assert alone == (3, 7, (0,), 7)
    for other in (Asked(top=1), Asked(seeds=9), Asked(trials=(2,))):
        with pytest.raises(UserError, match="belongs to a comparison, whose methods are all"):
            check_asked(many, other)
    check_asked(many, Asked())


def test_scores_are_the_networks_own():
    torch.manual_seed(0)
    dataset = open_dataset("digits")
    test = dataset.load_test()
    network = build_backbone("resnet8", 10, 1)
    mean, deviation = statistics(dataset.train)
    scores = scores_on_test(network, test, (mean, deviation), "cpu", test.size)
    pixels = torch.from_numpy(test.images).float() / 255
    with torch.no_grad():
        logits = network.eval()((pixels - mean[0]) / deviation[0])
    expected = 100 * (logits.argmax(1).numpy() == test.labels).mean()
    assert scores["test_acc"] == pytest.approx(expected, abs=0.21)
    assert set(scores) == {"test_acc", "test_acc5", "test_ece", "test_nll"}


def test_a_search_proves_its_best_in_one_go(tmp_path: Path):
    said = run(
        "tuning.search", "ce", "--preset", "laptop", "--local", "--trials", "2", "--epochs", "1",
        "--scheduler", "none", "--confirm", "--name", "both", "--storage", str(tmp_path),
        "--search-optimizer",
    )  # fmt: skip
    first, second = (
        said.index("one run, not confirmed"),
        said.index("The test set was opened once."),
    )
    assert first < second
    # What was proved is not offered again, but with more seeds.
    offered = [line for line in said.splitlines() if "python -m tuning.confirm both" in line]
    assert all(line.endswith("--again more-seeds") for line in offered)
    result = load_result(tmp_path, "both")
    assert result.findings
    assert result.sweep.settings.confirm
    again = run("tuning.search", "--resume", "both", "--storage", str(tmp_path))
    assert "The test set was opened once." in again


def test_a_confirmation_that_trained_nothing_may_be_asked_otherwise(tmp_path: Path):
    """Ray may not have started; then nothing is begun that would have to be gone on with."""
    result = sweep_result(tmp_path / "sweep")
    folder = result.sweep.folder
    folder.mkdir(parents=True, exist_ok=True)
    begun = planned(result, Asked(top=1, seeds=5), "confirm")
    with open_study(folder / "confirm.log", "confirm", create=True) as study:
        study.set_user_attr(PLAN, begun._asdict())
        assert planned(result, Asked(top=2), "confirm").top == 2
        study.ask().set_user_attr("config", result.trials[0].config)
        with pytest.raises(UserError, match=r"began with trials .* on at most 5 seeds"):
            planned(result, Asked(top=2), "confirm")


def test_a_note_that_opened_before_opens_nothing_for_others(tmp_path: Path):
    """Only what was found then is read again by it."""
    result = sweep_result(tmp_path / "sweep")
    (rival, *_) = candidates(result, 1).keys() - {0}
    opening = Opening(when="", note="why")
    known = Findings(
        sweep=result.sweep.name,
        winner=0,
        seeds=(5, 6, 7, 8, 9),
        config=result.trials[0].config,
        val_acc={0: [90.0] * 5, rival: [90.0] * 5},
        test={0: [{"test_acc": 90.0}] * 5},
        most=5,
        openings=(opening, opening),
    )
    found = dataclasses.replace(result, findings=known)
    check_asked(found, Asked(again="why"))
    check_asked(found, Asked(again="another why", refit=True, seeds=8))
    for other in (Asked(again="why", seeds=8), Asked(again="why", refit=True)):
        with pytest.raises(UserError, match="on fresh seeds, with another --again NOTE"):
            check_asked(found, other)
