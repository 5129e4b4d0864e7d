import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from mlflow_store import empty_store, free_port, server

import tuning.tracking.tracker
from kd.config import TrainConfig
from kd.errors import UserError
from tuning.records.protocol import protocol
from tuning.study.trials import TrialRecord
from tuning.tracking.lookup import best_config
from tuning.tracking.registry import promote
from tuning.tracking.store import Store, is_transient
from tuning.tracking.tracker import Tracker

ROOT = Path(__file__).parent.parent.parent
CONFIG = TrainConfig.paper("lsskd", "resnet8", "digits", epochs=3)
CELL = "lsskd.resnet8.digits"


def tracker(store: Store, lines: list[str] | None = None, sweep: str = "sweep") -> Tracker:
    notify = print if lines is None else lines.append
    made = Tracker(
        store, CELL, sweep, protocol={"epochs": "3"}, params={"trials": 4}, notify=notify
    )
    # The tests close it, or leave it as kill -9 does.
    made.__enter__()
    made.ready()
    return made


def trial(number: int) -> TrialRecord:
    return TrialRecord(number=number, config=CONFIG.to_dict(), started=1000.0 + number)


def epoch(observer: Tracker, record: TrialRecord, at: int, val_acc: float) -> None:
    record.curve[at] = val_acc
    record.metrics = {"val_acc": val_acc, "val_loss": 1.0 / at}
    observer.on_epoch(record, at, record.metrics)


def end(observer: Tracker, record: TrialRecord, state: Any, reason: str = "") -> None:
    record.state, record.reason, record.ended = state, reason, record.started + 10
    observer.on_end(record)


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.05)


def run_of(store: Store, tag: str, value: str) -> Any:
    client = store.connect()
    experiment = client.get_experiment_by_name(CELL)
    runs = client.search_runs([experiment.experiment_id], f"tags.`{tag}` = '{value}'")
    assert len(runs) == 1, f"{value} has {len(runs)} runs"
    return runs[0]


def curve(store: Store, number: int, metric: str = "val_acc") -> dict[int, float]:
    """Step to value; fails if a step was written twice."""
    run = run_of(store, "kd.trial_id", f"sweep/{number}")
    points = store.connect().get_metric_history(run.info.run_id, metric)
    assert len({p.step for p in points}) == len(points)
    return {p.step: p.value for p in points}


def test_a_sweep_is_a_run_with_its_trials_below(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    observer = tracker(store)
    completed, stopped, failed = trial(0), trial(1), trial(2)
    for record in (completed, stopped, failed):
        observer.on_start(record)
        epoch(observer, record, 1, 50.0 + record.number)
    epoch(observer, completed, 2, 60.0)
    epoch(observer, completed, 3, 58.0)
    completed.gpus = 0.5
    end(observer, completed, "completed")
    end(observer, stopped, "stopped", "below the rung at epoch 1")
    end(observer, failed, "failed", "out of memory")
    (tmp_path / "report.html").write_text("<title>report</title>")
    observer.attach([tmp_path / "report.html"])
    observer.close("finished")

    parent = run_of(store, "kd.sweep_id", "sweep")
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"trials": "4"}
    assert parent.data.tags["kd.protocol.epochs"] == "3"
    assert parent.data.metrics == {
        "best.val_acc": 58.0,
        "cost.epochs": 5.0,
        "cost.seconds": 30.0,
        "cost.gpu_seconds": 5.0,
        "trials.completed": 1.0,
        "trials.stopped": 1.0,
        "trials.failed": 1.0,
    }
    assert curve(store, 0) == {1: 50.0, 2: 60.0, 3: 58.0}
    # A trial is worth what its last epoch came to, as everywhere, so it has no best of its own.
    assert curve(store, 0, "best.val_acc") == {}
    expected = {0: ("FINISHED", "completed"), 1: ("FINISHED", "stopped"), 2: ("FAILED", "failed")}
    for number, (status, outcome) in expected.items():
        run = run_of(store, "kd.trial_id", f"sweep/{number}")
        assert (run.info.status, run.data.tags["kd.outcome"]) == (status, outcome)
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.params == {k: str(v) for k, v in CONFIG.flat().items() if v is not None}
        assert run.info.start_time == 1000 * (1000 + number)
        assert run.info.end_time == 1000 * (1010 + number)
    assert run_of(store, "kd.trial_id", "sweep/2").data.tags["kd.reason"] == "out of memory"
    files = list((tmp_path / "mlflow-artifacts").glob("**/config.yaml"))
    assert [TrainConfig.load(file) for file in files] == [CONFIG] * 3
    (kept,) = (tmp_path / "mlflow-artifacts").glob("**/report.html")
    assert parent.info.run_id in str(kept)
    artifacts = Path(run_of(store, "kd.trial_id", "sweep/0").info.artifact_uri)
    points = json.loads((artifacts / "curve.json").read_text())["curve"]
    assert points == [{"epoch": e, "val_acc": v} for e, v in ((1, 50.0), (2, 60.0), (3, 58.0))]


def test_a_killed_and_restarted_sweep_writes_nothing_twice(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    killed = tracker(store)
    done, cut = trial(0), trial(1)
    for record in (done, cut):
        killed.on_start(record)
        epoch(killed, record, 1, 40.0)
    end(killed, done, "completed")
    epoch(killed, cut, 2, 45.0)
    wait_for(lambda: not killed.pending)
    wait_for(lambda: len(curve(store, 1)) == 2)
    # It closes nothing, as after kill -9.
    assert run_of(store, "kd.sweep_id", "sweep").info.status == "RUNNING"

    interrupted = tracker(store)
    interrupted.on_start(trial(1))
    interrupted.close("interrupted")
    assert run_of(store, "kd.sweep_id", "sweep").info.status == "KILLED"
    assert run_of(store, "kd.trial_id", "sweep/1").info.status == "KILLED"

    resumed = tracker(store)
    again = trial(1)
    resumed.on_start(again)
    for at, val_acc in ((1, 40.0), (2, 45.5), (3, 70.0)):
        epoch(resumed, again, at, val_acc)
    end(resumed, again, "completed")
    resumed.close("finished")

    assert curve(store, 1) == {1: 40.0, 2: 45.0, 3: 70.0}
    parent = run_of(store, "kd.sweep_id", "sweep")
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["trials.completed"] == 2.0
    assert parent.data.metrics["cost.epochs"] == 4.0
    assert parent.data.metrics["best.val_acc"] == 70.0


def test_what_a_killed_process_did_not_write_is_written_by_the_next(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    killed = tracker(store)
    ended = trial(0)
    killed.on_start(ended)
    epoch(killed, ended, 1, 40.0)
    killed.close("interrupted")
    ended.curve |= {2: 50.0, 3: 45.0}
    ended.metrics = {"val_acc": 45.0, "train_loss": 0.5}
    ended.state, ended.ended = "completed", ended.started + 10

    resumed = tracker(store)
    for _ in range(2):
        resumed.catch_up(ended)
    resumed.close("finished")
    assert curve(store, 0) == {1: 40.0, 2: 50.0, 3: 45.0}
    assert curve(store, 0, "best.val_acc") == {}
    run = run_of(store, "kd.trial_id", "sweep/0")
    assert (run.info.status, run.data.tags["kd.outcome"]) == ("FINISHED", "completed")
    assert run.data.metrics["train_loss"] == 0.5
    assert run_of(store, "kd.sweep_id", "sweep").data.metrics["trials.completed"] == 1.0


def test_a_pause_costs_nothing(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    with Tracker(store, CELL, "sweep", protocol={}, params={}) as observer:
        record = trial(0)
        record.spans = ((1000.0, 1020.0), (5000.0, 5010.0))
        record.gpus = 0.5
        observer.on_start(record)
        epoch(observer, record, 1, 50.0)
        record.state, record.ended = "completed", 5010.0
        observer.on_end(record)
        observer.close("finished")
    for run in (run_of(store, "kd.trial_id", "sweep/0"), run_of(store, "kd.sweep_id", "sweep")):
        assert run.data.metrics["cost.seconds"] == 30
        assert run.data.metrics["cost.gpu_seconds"] == 15


FAULTS = {
    "its folder is deleted": lambda folder: shutil.rmtree(folder),
    "its database is deleted": lambda folder: (folder / "mlflow.db").unlink(),
    "its database is damaged": lambda folder: (folder / "mlflow.db").write_bytes(b"none" * 9999),
}
TOLD = """
import os, sys, time
from pathlib import Path
from test_tracking import FAULTS, CELL, epoch, end, trial, wait_for
import tuning.tracking.tracker
from tuning.tracking.store import Store
from tuning.tracking.tracker import Tracker

tuning.tracking.tracker.CLOSES_WITHIN = 1.0
folder = Path(sys.argv[1])
with Tracker(Store.at(folder), CELL, "sweep", protocol={}, params={}) as observer:
    observer.ready()
    record = trial(0)
    observer.on_start(record)
    epoch(observer, record, 1, 50.0)
    wait_for(lambda: not observer.pending)
    time.sleep(1)
    FAULTS[sys.argv[2]](folder)
    for at in (2, 3):
        epoch(observer, record, at, 50.0 + at)
    time.sleep(1)
    end(observer, record, "completed")
    observer.close("finished")
"""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_breaks_in_mid_sweep_is_told_of_and_nothing_else(
    tmp_path: Path, fault: str
) -> None:
    """In a process of its own: what MLflow logs would be on its screen."""
    empty_store(tmp_path / "runs")
    done = subprocess.run(
        [sys.executable, "-c", TOLD, str(tmp_path / "runs"), fault],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{Path(__file__).parent}:{ROOT}"},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= 2, done.stderr
    assert all(line.startswith("MLflow at ") for line in lines)
    assert "the training goes on" in lines[0]
    assert "holds everything" not in done.stderr


def test_not_a_number_is_kept(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    observer = tracker(store, sweep="it's one")
    record = trial(0)
    record.curve[1] = 1.0
    observer.on_epoch(record, 1, {"val_acc": 1.0, "train_loss": math.nan})
    observer.close("finished")
    runs = store.connect().search_runs(["1"], 'tags.`kd.trial_id` = "it\'s one/0"')
    assert math.isnan(runs[0].data.metrics["train_loss"])


def test_a_busy_store_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    lines: list[str] = []
    observer = tracker(store, lines)
    record = trial(0)
    observer.on_start(record)
    epoch(observer, record, 1, 50.0)
    blocker = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    epoch(observer, record, 2, 60.0)
    observer.close("finished", timeout=0.5)
    assert "did not answer" in lines[-1]
    assert str(tmp_path) in lines[-1]
    blocker.execute("ROLLBACK")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_called_that_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    # Whoever waits for a full disk as for a server waits for ever.
    monkeypatch.setattr(tuning.tracking.tracker, "CLOSES_WITHIN", None)
    monkeypatch.setattr(tuning.tracking.tracker, "FULL_CLOSES_WITHIN", 0.5)
    try:
        store, lines = empty_store(disk), list[str]()
        observer = tracker(store, lines)
        record = trial(0)
        observer.on_start(record)
        epoch(observer, record, 1, 50.0)
        wait_for(lambda: not observer.pending)
        with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        epoch(observer, record, 2, 60.0)
        wait_for(lambda: bool(lines))
        assert "has no room on its disk; the training goes on" in lines[0]
        assert not observer.close("finished")
        assert "is full" in lines[-1]
        assert "when it has room, --resume sweep writes what is missing" in lines[-1]
        (disk / "filler").unlink()
        observer._thread.join()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_server_that_dies_misses_nothing(tmp_path: Path) -> None:
    empty_store(tmp_path)
    port = free_port()
    lines: list[str] = []
    with server(tmp_path, port) as address:
        store = Store.at(tmp_path, address)
        observer = tracker(store, lines)
        assert observer.page.startswith(f"{address}/#/experiments/1/runs?")
        record = trial(0)
        observer.on_start(record)
        epoch(observer, record, 1, 50.0)
        wait_for(lambda: not observer.pending)
    epoch(observer, record, 2, 60.0)
    wait_for(lambda: bool(lines))
    epoch(observer, record, 3, 55.0)
    end(observer, record, "completed")
    with server(tmp_path, port):
        observer.close("finished")
        assert [("answers again" in line) for line in lines] == [False, True]
        assert curve(store, 0) == {1: 50.0, 2: 60.0, 3: 55.0}
        assert run_of(store, "kd.sweep_id", "sweep").info.status == "FINISHED"
        conditions = protocol(CONFIG)
        promote(store, CONFIG, score=55, protocol=conditions, sweep="sweep", trial=0, trials=1)
        assert best_config("lsskd", "resnet8", "digits", tracking_uri=address) == CONFIG
    with pytest.raises(UserError, match="does not answer"):
        best_config("lsskd", "resnet8", "digits", tracking_uri=address)


def leave(observer: Tracker, error: BaseException | None) -> None:
    """Leave the context of a tracker that nobody closed."""
    with observer:
        observer.on_start(trial(0))
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (UserError("out of disk"), "FAILED", "failed"),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
        (None, "FAILED", "failed"),
    ],
)
def test_a_context_left_without_close_ends_the_sweep(
    tmp_path: Path, error: BaseException | None, status: str, outcome: str
) -> None:
    store = empty_store(tmp_path)
    observer = Tracker(store, CELL, "sweep", protocol={}, params={})
    if error is None:
        leave(observer, None)
    else:
        with pytest.raises(type(error)) as raised:
            leave(observer, error)
        assert raised.value is error
    parent = run_of(store, "kd.sweep_id", "sweep")
    assert (parent.info.status, parent.data.tags["kd.outcome"]) == (status, outcome)
    assert run_of(store, "kd.trial_id", "sweep/0").info.status == "KILLED"


def test_the_first_close_counts(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    with Tracker(store, CELL, "sweep", protocol={}, params={}) as observer:
        observer.close("finished")
        observer.close("interrupted")
    observer.close("failed")
    assert run_of(store, "kd.sweep_id", "sweep").info.status == "FINISHED"


def test_a_tracker_that_was_not_entered_says_so(tmp_path: Path) -> None:
    before = threading.active_count()
    observer = Tracker(Store.at(tmp_path), CELL, "sweep", protocol={}, params={})
    for use in (
        observer.ready,
        lambda: observer.on_start(trial(0)),
        lambda: observer.attach([]),
        lambda: observer.close("finished"),
    ):
        with pytest.raises(RuntimeError, match="with Tracker"):
            use()
    assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []


@contextmanager
def locked(store: Store) -> Iterator[None]:
    """Nobody else can write to the store, which makes its writers wait."""
    assert store.file is not None
    with closing(sqlite3.connect(store.file, isolation_level=None)) as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        yield


def test_what_ends_a_sweep_is_not_hidden_by_its_tracker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(line: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(tuning.tracking.tracker, "CLOSES_WITHIN", 0.5)
    store = empty_store(tmp_path)
    observer = Tracker(store, CELL, "sweep", protocol={}, params={}, notify=gone)
    with pytest.raises(UserError, match="out of disk"), locked(store):
        leave(observer, UserError("out of disk"))


def test_a_second_ctrl_c_ends_the_waiting_and_hides_nothing(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    observer = Tracker(store, CELL, "sweep", protocol={}, params={})
    interrupt = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(UserError, match="out of disk"), locked(store):
        leave(observer, UserError("out of disk"))
    interrupt.join()


def test_a_store_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    nobody = Store.at(tmp_path, f"http://127.0.0.1:{free_port()}")
    damaged = Store.at(tmp_path / "damaged")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "mlflow.db").write_text("no database " * 100)
    newer = empty_store(tmp_path / "newer")
    with sqlite3.connect(tmp_path / "newer" / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    (tmp_path / "file").write_text("")
    nowhere = Store.at(tmp_path / "file" / "runs")
    for store, complaint in (
        (nobody, "does not answer"),
        (damaged, "not a database"),
        (newer, "another version of MLflow"),
        (nowhere, "Not a directory"),
    ):
        with Tracker(store, CELL, "sweep", protocol={}, params={}) as observer:
            with pytest.raises(UserError, match=complaint) as error:
                observer.ready()
            assert "\n" not in str(error.value)
            observer.close("failed")


def test_a_store_whose_making_was_killed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.store.db.utils as steps

    store, whole = Store.at(tmp_path), empty_store(tmp_path / "whole")

    def killed(engine: Any) -> None:
        with sqlite3.connect(engine.url.database) as database:
            database.execute("CREATE TABLE experiments (id)")
        raise RuntimeError("killed")

    monkeypatch.setattr(steps, "_initialize_tables", killed)
    with pytest.raises(UserError, match="killed"):
        store.connect()
    assert not (tmp_path / "mlflow.db").exists()
    # An empty one is none either.
    (tmp_path / "mlflow.db").touch()
    monkeypatch.setattr(
        steps, "_initialize_tables", lambda engine: shutil.copy(whole.file, engine.url.database)
    )
    assert store.connect().search_experiments()
    assert {file.name for file in tmp_path.iterdir()} == {"whole", "mlflow.db", "mlflow.lock"}


def test_a_password_is_not_shown() -> None:
    assert Store("postgresql://kd:secret@host/db").name == "postgresql://kd:***@host/db"
    for uri in (
        "postgresql://kd:se@cr:et@host/db",
        "postgresql://kd:se/cret@host/db",
        "postgresql://host/db?user=kd&password=secret",
        "http://kd:secret@host:5000",
    ):
        store = Store(uri)
        assert not any(part in store.name for part in ("secret", "cret", "cr:et"))
        assert "host" in store.name
    assert Store("http://kd:secret@host:5000/").page == "http://host:5000"


def test_an_address_may_have_options_of_its_driver(tmp_path: Path) -> None:
    plain = empty_store(tmp_path)
    store = Store.at(tmp_path, f"{plain.uri}?timeout=30")
    assert store.file == tmp_path / "mlflow.db"
    assert store.connect().search_experiments()


@pytest.mark.parametrize(
    ("error", "lasts"),
    [(NotADirectoryError(), True), (PermissionError(), True), (TimeoutError(), False)],
)
def test_a_folder_that_is_none_is_not_waited_for(error: OSError, lasts: bool) -> None:
    assert is_transient(error) is not lasts
