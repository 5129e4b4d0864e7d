"""The page behind a sweep's link, which MLflow documents nowhere: opened in a browser."""

import html
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import dump, needs_chromium
from mlflow_store import empty_store, free_port, server

from kd.config import TrainConfig
from kd.errors import UserError
from tuning.study.trials import TrialRecord
from tuning.tracking.runs import SweepRuns
from tuning.tracking.store import Store
from tuning.tracking.view import page_path, sweep_page, view
from tuning.ui import Flags, show

SEARCHED = ("kd.alpha", "kd.alpha_schedule", "kd.temperature")


def sweep(store: Store, name: str = "first", trials: int = 3) -> SweepRuns:
    """A finished sweep of trials that ran for three epochs."""
    cell = "lsskd.resnet8.digits"
    runs = SweepRuns(store, cell, name, protocol={}, params={}, searched=SEARCHED)
    config = TrainConfig.paper("lsskd", "resnet8", "digits", epochs=3).to_dict()
    for number in range(trials):
        trial = TrialRecord(number=number, config=config, started=1.8e9 + number)
        trial.config["kd"]["alpha"] = 0.3 + 0.1 * number
        runs.start(trial)
        for epoch in (1, 2, 3):
            trial.curve[epoch] = 30.0 * epoch**0.5 + number
            metrics = {"val_acc": trial.curve[epoch], "train_loss": (1.0 + number) / epoch}
            runs.log_epoch(trial, epoch, metrics, trial.started + epoch)
        trial.state, trial.ended = "completed", trial.started + 4
        runs.end(trial)
    runs.close("finished")
    return runs


@contextmanager
def ui(*arguments: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """`python -m tuning.ui …`: the link that it printed, and its process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tuning.ui", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


def test_the_view_is_the_json_that_mlflows_page_reads() -> None:
    state = json.loads(view("it's", "run-id", SEARCHED))
    assert state["searchFilter"] == 'tags.`kd.sweep` = "it\'s"'
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val_acc`", False)
    assert state["runsExpanded"] == {"run-id": True}
    assert state["runsHiddenMode"] == "SHOW_ALL"
    assert state["selectedColumns"] == [
        "tags.`kd.outcome`",
        "tags.`kd.confirmed`",
        "metrics.`val_acc`",
        "metrics.`cost.epochs`",
        "params.`kd.alpha`",
        "params.`kd.alpha_schedule`",
        "params.`kd.temperature`",
    ]
    charts = {chart["uuid"]: chart for chart in state["compareRunCharts"]}
    assert {name: chart["type"] for name, chart in charts.items()} == {
        "val_acc": "LINE",
        "parallel": "PARALLEL",
        "train_loss": "LINE",
    }
    assert charts["parallel"]["selectedParams"] == list(SEARCHED)
    assert charts["val_acc"]["metricKey"] == "val_acc"
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in charts.values()} <= sections
    many = view("sweep", "run-id", [f"kd.lambda_b.{n}" for n in range(64)])
    assert len(many) < 20_000, "MLflow takes no longer tag"


@needs_chromium
def test_the_link_shows_trials_columns_and_curves_until_ctrl_c(tmp_path: Path) -> None:
    storage = tmp_path / "runs"
    sweep(empty_store(storage))
    port = free_port()
    with ui("first", "--storage", str(storage), "--port", str(port)) as (link, process):
        charts, console = dump(tmp_path, link, "--virtual-time-budget=60000")
        table, _ = dump(
            tmp_path, link.replace("Mode=CHART", "Mode=TABLE"), "--virtual-time-budget=60000"
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
    assert not [line for line in console if "shared view" in line]
    for number in range(3):
        assert f">trial {number}<" in charts
        assert f">trial {number}<" in table
    # A line for each trial in each of the two charts of metrics, and the axes of the third.
    lines = set(re.findall(r'class="js-line" d="(M[\d.,]+L[\d.,]+L[\d.,]+)"', charts))
    assert len(lines) == 6
    assert 'class="parcoords' in charts
    for name in SEARCHED:
        assert re.search(rf'col-id="params\.`{re.escape(name)}`"', html.unescape(table))
    assert 'col-id="tags.`kd.outcome`"' in html.unescape(table)


def test_a_server_is_not_started_where_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty_store(tmp_path)
    with server(tmp_path, free_port()) as address:
        runs = sweep(Store.at(tmp_path, address), trials=1)
        show(Flags(sweep="first", storage=tmp_path, tracking_uri=address))
        assert capsys.readouterr().out.strip() == runs.page
        assert runs.page.startswith(f"{address}/#/experiments/1/runs?")


def test_every_sweep_of_a_cell_has_its_own_page(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    sweep(store, "first", trials=1)
    sweep(store, "second", trials=1)
    sweep(store, "first", trials=1)
    assert sweep(store, "first", trials=0).page == ""
    pages = {name: sweep_page(store, store.connect(), name) for name in ("first", "second")}
    assert len(set(pages.values())) == 2
    tags = store.connect().get_experiment("1").tags
    views = {key: json.loads(value) for key, value in tags.items() if "sharedViewState" in key}
    assert len(views) == 2
    for name, page in pages.items():
        key = page.rpartition("=")[2]
        assert page == page_path("1", key)
        assert views[f"mlflow.sharedViewState.{key}"]["searchFilter"].endswith(f"'{name}'")


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    with pytest.raises(UserError, match="no sweep in"):
        show(Flags(sweep="first", storage=tmp_path))
    sweep(store, trials=1)
    with pytest.raises(UserError, match="first"):
        show(Flags(sweep="frist", storage=tmp_path))
    with pytest.raises(UserError, match="no MLflow store"):
        show(Flags(storage=tmp_path / "elsewhere"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match=r"Port \d+ cannot be used"):
            show(Flags(storage=tmp_path, port=taken.getsockname()[1]))
    with pytest.raises(UserError, match="does not answer"):
        show(Flags(storage=tmp_path, tracking_uri=f"http://127.0.0.1:{free_port()}"))
    assert "MLFLOW_BACKEND_STORE_URI" not in os.environ
