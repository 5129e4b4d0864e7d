"""Tracking, the registry and the pages over a real PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_store import free_port
from postgres import PASSWORD, postgres
from test_best import CONFIG, alias, crown, tuned
from test_tracking import curve, end, epoch, run_of, tracker, trial

from kd.errors import UserError
from tuning import best_config
from tuning.tracking.lookup import find_best
from tuning.tracking.server import serving
from tuning.tracking.store import Store
from tuning.tracking.view import sweep_page

pytest.importorskip(
    "psycopg", reason="psycopg is not installed; pip install -e '.[postgres]' brings it."
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with postgres(free_port()) as found:
        yield found


def test_a_sweep_is_tracked_resumed_promoted_read_and_shown(address: str, tmp_path: Path) -> None:
    store = Store.at(tmp_path, address)
    killed = tracker(store)
    done, cut = trial(0), trial(1)
    for record in (done, cut):
        killed.on_start(record)
        epoch(killed, record, 1, 40.0)
    end(killed, done, "completed")
    killed.close("interrupted")
    assert run_of(store, "kd.trial_id", "sweep/1").info.status == "KILLED"

    resumed = tracker(store)
    again = trial(1)
    resumed.on_start(again)
    for at, val_acc in ((1, 40.0), (2, 60.0)):
        epoch(resumed, again, at, val_acc)
    end(resumed, again, "completed")
    resumed.close("finished")
    assert curve(store, 1) == {1: 40.0, 2: 60.0}
    assert run_of(store, "kd.sweep_id", "sweep").data.metrics["best.val_acc"] == 60.0
    assert list(tmp_path.glob("mlflow-artifacts/**/config.yaml"))

    for sweep, alpha, score, holder in (("a", 0.1, 80.0, "a"), ("b", 0.2, 79.0, "a")):
        crown(store, tuned(alpha), score, sweep)
        assert alias(store) == holder
    assert find_best("lsskd", "resnet8", "digits", store).score == 80.0
    found = best_config("lsskd", "resnet8", "digits", storage=tmp_path, tracking_uri=address)
    assert found == tuned(0.1)
    assert found != CONFIG

    page = sweep_page(store, store.connect(), "sweep")
    with serving(store, free_port()) as (served, server):
        over = Store.at(tmp_path, served)
        assert sweep_page(over, over.connect(), "sweep") == page
        words = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert PASSWORD.encode() not in words


def test_the_command_line_shows_no_password(address: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tuning.best", "kd", "--storage", str(tmp_path)]
    done = subprocess.run(
        [*words, "--tracking-uri", address], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "kd:***@127.0.0.1" in done.stderr
    assert PASSWORD not in done.stderr + done.stdout


def test_a_dead_or_closed_database_is_one_sentence(address: str, tmp_path: Path) -> None:
    for wrong, complaint in (
        (address.replace(PASSWORD, "wrong"), "password authentication failed"),
        (f"postgresql://kd:x@127.0.0.1:{free_port()}/postgres", "cannot be used"),
    ):
        with pytest.raises(UserError, match=complaint) as error:
            Store.at(tmp_path, wrong).connect()
        assert "\n" not in str(error.value)
