"""Whole sweeps, as a person runs them: through Ray, Optuna and MLflow, and read back from all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_store import empty_store, free_port, server
from real_sweeps import finish, journal, start, wait_for
from safetensors.torch import load_file

from kd.backbones import build_backbone
from kd.config import TrainConfig
from tuning import best_config
from tuning.study.journal import load_study, read_trials


def retrain(config: Path, output: Path) -> list[dict[str, float]]:
    """The metrics of every epoch, of `python -m kd.train`."""
    command = [sys.executable, "-m", "kd.train", str(config), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def mlflow_runs(storage: Path) -> list:
    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments() if e.name != "Default"]
    return client.search_runs(experiments)


def mlflow_curve(storage: Path, run, metric: str) -> dict[int, float]:
    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    points = client.get_metric_history(run.info.run_id, metric)
    curve = {point.step: point.value for point in points}
    assert len(curve) == len(points), "no epoch twice"
    return curve


def test_a_sweep_leaves_the_same_trials_in_the_study_in_mlflow_and_in_its_folder(tmp_path):
    said = finish(
        start(tmp_path, "pskd", "--trials", "5", "--epochs", "4", "--grace-period", "2",
              "--name", "first", "--set", "batch_size=30")
    )  # fmt: skip
    trials = journal(tmp_path, "first")
    assert [t.number for t in trials] == [0, 1, 2, 3, 4]
    assert all(t.state.name in ("COMPLETE", "PRUNED") for t in trials)
    assert trials[0].params["kd.alpha"] == 0.8, "the paper's default is trial 0"
    assert all(t.user_attrs["config"]["batch_size"] == 30 for t in trials)
    for trial in trials:
        ended = 4 if trial.state.name == "COMPLETE" else 2
        assert list(trial.intermediate_values) == list(range(1, ended + 1))

    folder = tmp_path / "first"
    best = TrainConfig.load(folder / "best_config.yaml")
    assert TrainConfig.load(folder / "best_config.json") == best
    records = read_trials(load_study(folder / "study.log", "search"))
    winner = max((r for r in records if r.state == "completed"), key=lambda r: r.score)
    assert best.to_dict() == winner.config
    assert f"{winner.score:.2f}" in said
    weights = load_file(folder / "student.safetensors")
    build_backbone("resnet8", 10, 1).load_state_dict(weights)
    trained = retrain(folder / "best_config.yaml", tmp_path / "again")
    assert trained[-1]["val_acc"] == winner.score, "the file trains the same network again"
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list((folder / "checkpoints").glob("*"))
    assert not list((folder / "students").glob("*"))

    runs = mlflow_runs(tmp_path)
    children = {r.data.tags["kd.trial_id"]: r for r in runs if "kd.trial_id" in r.data.tags}
    assert sorted(children) == [f"first/{n}" for n in range(5)]
    for record in records:
        run = children[f"first/{record.number}"]
        assert run.data.metrics["val_acc"] == pytest.approx(record.score)
        assert run.data.metrics["epoch"] == record.epoch
        assert run.data.params["kd.alpha"] == str(record.config["kd"]["alpha"])
        assert run.info.status == "FINISHED"


def test_a_killed_sweep_is_resumed_without_repeating_or_losing_anything(resumed):
    before, after = resumed.before, journal(resumed.storage, resumed.name)
    finished = {t.number: t for t in before if t.state.is_finished()}
    assert finished
    assert len(finished) < resumed.trials

    assert [t.number for t in after] == list(range(resumed.trials))
    assert all(t.state.is_finished() for t in after)
    for number, trial in finished.items():
        assert after[number] == trial, "a finished trial is as it was"
    for old in before:
        new = after[old.number]
        if "config" in old.user_attrs:  # The kill may have come between a trial and its config.
            assert new.user_attrs["config"] == old.user_attrs["config"]
        values = old.intermediate_values
        assert {e: new.intermediate_values[e] for e in values} == values
    for trial in after:
        assert list(trial.intermediate_values) == list(range(1, trial.last_step + 1))

    runs = [r for r in mlflow_runs(resumed.storage) if "kd.trial_id" in r.data.tags]
    found = {r.data.tags["kd.trial_id"]: r for r in runs}
    assert len(runs) == len(found) == resumed.trials, "no run twice"
    for trial in after:
        run = found[f"{resumed.name}/{trial.number}"]
        assert mlflow_curve(resumed.storage, run, "val_acc") == trial.intermediate_values
        assert run.info.status == "FINISHED"


def test_a_running_trial_goes_on_from_its_own_checkpoint(resumed):
    """The epochs that it was kept after are not trained again."""
    number, trained = max(resumed.cut.items(), key=lambda cut: len(cut[1]))
    assert resumed.rung <= len(trained) <= resumed.epochs
    trial = journal(resumed.storage, resumed.name)[number]
    ended = resumed.epochs if trial.state.name == "COMPLETE" else resumed.rung
    assert list(trial.intermediate_values) == list(range(1, ended + 1))
    (run,) = [
        r
        for r in mlflow_runs(resumed.storage)
        if r.data.tags.get("kd.trial_id") == f"{resumed.name}/{number}"
    ]
    seconds = mlflow_curve(resumed.storage, run, "epoch_seconds")
    assert sorted(seconds) == list(range(1, ended + 1))
    first = [seconds[epoch] for epoch in range(1, len(trained) + 1)]
    assert first == trained, "its early epochs are the first process's"


IN_A_THREAD = """
import sys, threading
from tuning.search import main
codes = []
def sweep():
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        codes.append(end.code)
thread = threading.Thread(target=sweep)
thread.start()
thread.join()
sys.exit(codes[0])
"""


def test_a_sweep_needs_no_reader_and_no_main_thread_and_its_copy_is_a_sweep_of_its_own(tmp_path):
    kept = ["--storage", str(tmp_path)]
    flags = ["ce", "--trials", "2", "--epochs", "2", "--name", "base", *kept]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", IN_A_THREAD, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert "preset" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=300) == 0
    assert all(t.state.is_finished() for t in journal(tmp_path, "base"))
    assert (tmp_path / "base" / "report.html").exists()
    best = best_config("ce", "resnet8", "digits", storage=tmp_path)
    assert best == TrainConfig.load(tmp_path / "base" / "best_config.yaml")

    shutil.copytree(tmp_path / "base", tmp_path / "copy")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "base").rglob("*")}
    said = finish(start(tmp_path, "--resume", "copy", "--trials", "3"))
    assert "Best of 3 trials" in said or "No trial beat" in said
    assert str(tmp_path / "copy" / "report.html") in said
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "base").rglob("*")} == before
    assert [t.number for t in journal(tmp_path, "copy")] == [0, 1, 2]
    trials = {
        r.data.tags["kd.trial_id"] for r in mlflow_runs(tmp_path) if "kd.trial_id" in r.data.tags
    }
    assert trials == {"base/0", "base/1", "copy/0", "copy/1", "copy/2"}


def session(leader: int) -> list[str]:
    """The processes of a session that live, by name."""
    command = ["ps", "-o", "stat=,args=", "--sid", str(leader)]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return [line for line in lines if not line.startswith("Z")]


@pytest.mark.parametrize("stops", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_an_interrupted_sweep_ends_cleanly_and_says_how_to_go_on(stops, tmp_path):
    process = start(tmp_path, "lsskd", "--trials", "8", "--epochs", "6", "--name", "stopped",
                    start_new_session=True)  # fmt: skip
    wait_for(lambda: any(t.intermediate_values for t in journal(tmp_path, "stopped")))
    for stop in stops:
        # A terminal tells Ray's processes too; whoever sends SIGTERM tells the one it knows.
        (os.kill if stop is signal.SIGTERM else os.killpg)(process.pid, stop)
        time.sleep(1)
    said = finish(process, code=130)
    assert said.count("--resume stopped") == 1
    wait_for(lambda: not session(process.pid), 120)
    if len(stops) == 1:
        statuses = {r.info.status for r in mlflow_runs(tmp_path)}
        assert "RUNNING" not in statuses
        assert "KILLED" in statuses


def test_an_mlflow_server_that_is_down_for_twenty_seconds_gets_everything_later(tmp_path):
    empty_store(tmp_path)
    port = free_port()
    with server(tmp_path, port) as address:
        process = start(tmp_path, "lsskd", "--trials", "6", "--epochs", "9", "--name", "served",
                        "--tracking-uri", address)  # fmt: skip
        wait_for(lambda: any((t.last_step or 0) >= 2 for t in journal(tmp_path, "served")))
    time.sleep(20)
    assert process.poll() is None, "the search goes on, or waits for what is to be delivered"
    with server(tmp_path, port):
        said = finish(process)
    assert "does not answer; the training goes on" in said
    assert "answers again" in said
    runs = {r.data.tags.get("kd.trial_id"): r for r in mlflow_runs(tmp_path)}
    for trial in journal(tmp_path, "served"):
        run = runs[f"served/{trial.number}"]
        assert mlflow_curve(tmp_path, run, "val_acc") == trial.intermediate_values
        assert run.info.status == "FINISHED"


def test_a_diverging_configuration_ends_its_trial_and_not_the_sweep(tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text("lr: {low: 1.0e+5, high: 1.0e+9, log: true}\n")
    finish(start(tmp_path, "ce", "--trials", "3", "--epochs", "2", "--name", "wild",
                 "--space", str(space)), code=1)  # fmt: skip
    trials = journal(tmp_path, "wild")
    assert len(trials) == 3
    assert all(t.state.is_finished() for t in trials)
    assert any("not finite" in t.user_attrs["reason"] for t in trials)


def test_more_cores_than_there_are_is_refused_before_the_first_trial(tmp_path):
    process = start(tmp_path, "ce", "--cpus-per-trial", "4096", "--name", "big")
    said = finish(process, code=2)
    assert "--cpus-per-trial is 4096" in said
    assert not (tmp_path / "big").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_ends_the_sweep_with_a_sentence_and_keeps_the_study(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("this root may not mount a small disk")
    try:
        process = start(disk, "ce", "--trials", "400", "--epochs", "3", "--name", "full",
                        "--grace-period", "1")  # fmt: skip
        wait_for(lambda: any(t.state.name == "COMPLETE" for t in journal(disk, "full")))
        with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(b"0" * 4096)
        said, _ = process.communicate(timeout=200)
        assert process.returncode == 2, said
        assert "free some space and go on with: python -m tuning.search --resume full" in said
        assert not [t for t in journal(disk, "full") if t.state.name == "FAIL"], "none is lost"
        (disk / "filler").unlink()
        assert any(t.state.name == "COMPLETE" for t in journal(disk, "full"))
        TrainConfig.load(disk / "full" / "best_config.yaml")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_the_teacher_is_trained_once_and_every_trial_learns_from_it(cells, tmp_path):
    assert "teacher" in cells.said
    folder = cells.storage / cells.kd
    weights = folder / "teacher.safetensors"
    assert weights.exists()
    assert "weights: teacher.safetensors" in (folder / "best_config.yaml").read_text()
    trials = journal(cells.storage, cells.kd)
    for trial in trials:
        assert trial.user_attrs["config"]["teacher"]["weights"] == str(weights)
    scores = [t.value for t in trials if t.state.name == "COMPLETE"]
    moved = folder.rename(cells.storage / "moved")
    try:
        trained = retrain(moved / "best_config.yaml", tmp_path / "again")
    finally:
        moved.rename(folder)
    assert trained[-1]["val_acc"] == max(scores), "the teacher goes where the folder goes"


def test_several_cells_share_one_run_and_end_in_one_table(cells):
    first, second = (journal(cells.storage, name) for name in (cells.kd, cells.pskd))
    for trials in (first, second):
        assert [t.number for t in trials] == [0, 1, 2]
        assert all(t.state.is_finished() for t in trials)
    assert second[0].datetime_start < first[-1].datetime_complete, "neither waits for the other"
    rows = [line for line in cells.said.splitlines() if line.startswith(("kd ", "pskd "))]
    assert len(rows) == 2
    assert len([r for r in mlflow_runs(cells.storage) if "kd.trial_id" in r.data.tags]) == 6
