"""The live table on a terminal of several sizes, and the plain lines without one."""

import copy
import dataclasses
import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from synthetic import sweep_result

from tuning.records.result import SweepResult
from tuning.reports.live_table import LiveTable, LiveTables
from tuning.study.trials import TrialRecord


def play(live: LiveTable, result: SweepResult, events: int | None = None) -> None:
    """Tell `live` of the sweep, two trials at a time, epoch by epoch."""
    todo, told = list(result.trials), 0
    running: list[tuple[TrialRecord, TrialRecord]] = []
    while todo or running:
        while todo and len(running) < 2:
            final = todo.pop(0)
            trial = copy.deepcopy(final)
            trial.curve, trial.state = {}, "running"
            running.append((trial, final))
            live.on_start(trial)
        for trial, final in list(running):
            epoch = trial.epoch + 1
            trial.curve[epoch] = final.curve[epoch]
            live.on_epoch(trial, epoch, {"val_acc": final.curve[epoch]})
            if epoch == final.epoch:
                trial.state, trial.reason = final.state, final.reason
                live.on_end(trial)
                running.remove((trial, final))
            told += 1
            if told == events:
                return


def screen(live: LiveTable | LiveTables) -> list[str]:
    with live.console.capture() as capture:
        live.console.print(live)
    return capture.get().splitlines()


def silent(width: int = 80, height: int = 24) -> Console:
    return Console(width=width, height=height, file=io.StringIO(), color_system=None)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_table_fits_the_terminal(tmp_path: Path, width: int) -> None:
    result = sweep_result(tmp_path / "sweep")
    live = LiveTable(result.sweep, console=silent(width))
    play(live, result, events=40)
    lines = screen(live)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 24
    shown = "\n".join(lines)
    for part in ("best", "paper's", "running", "completed", "stopped", "failed"):
        assert part in shown


def test_many_running_trials_leave_room_for_the_best(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "sweep", trials=60)
    live = LiveTable(result.sweep, result.trials[:20], console=silent())
    listed = LiveTable(result.sweep, result.trials[:20], console=silent(), names=lambda _: "seed 1")
    assert "20/60 trials" in "".join(screen(live))
    assert "20/60 trainings" in "".join(screen(listed)), "those of a list are no trials of a search"
    for trial in result.trials[20:]:
        trial.state = "running"
        live.on_start(trial)
    lines = screen(live)
    assert len(lines) <= 24
    assert any(line.startswith("best") for line in lines)
    assert "40 running" in "\n".join(lines)


def test_plain_lines_without_a_terminal(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "sweep")
    console = Console(file=io.StringIO(), highlight=False)
    with LiveTable(result.sweep, console=console) as live:
        live.note("A note with [brackets].")
        play(live, result)
    assert isinstance(console.file, io.StringIO)
    out = console.file.getvalue()
    assert "\x1b" not in out
    assert out.startswith("A note with [brackets].\n")
    finished = [line for line in out.splitlines() if re.search(r"\d+/16 ", line)]
    assert len(finished) == 16
    assert sum("failed at epoch" in line for line in finished) == 1
    assert result.best
    assert out.splitlines()[-1] != ""
    bests = [line for line in out.splitlines() if "new best" in line]
    assert f"trial {result.best.number}," in bests[-1]


def test_estimate_counts_the_epochs_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("tuning.reports.live_table.time.monotonic", lambda: now)
    result = sweep_result(tmp_path / "sweep", trials=4, epochs=9)
    live = LiveTable(result.sweep, console=silent())
    assert live.seconds_left() is None
    first, second = result.trials[:2]
    now = 90.0
    for trial in (first, second):
        live.on_epoch(trial, 9, {})
        live.on_end(trial)
    # Two of four trials took 90 s on two slots, so the other two take 90 s more.
    assert live.seconds_left() == pytest.approx(90)
    now = 100.0
    assert live.seconds_left() == pytest.approx(80)


def test_what_workers_take_to_start_is_not_counted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("tuning.reports.live_table.time.monotonic", lambda: now)
    result = sweep_result(tmp_path / "sweep", trials=2, epochs=9)
    live = LiveTable(result.sweep, console=silent())
    curve = dict(result.trials[0].curve)
    for trial in result.trials:
        trial.state, trial.curve = "running", {}
        live.on_start(trial)
    assert "starting workers" in "\n".join(screen(live))
    for epoch in (1, 2, 3):
        # 100 seconds to start, then one for each epoch of the two trials.
        now = 99.0 + epoch
        for trial in result.trials:
            trial.curve = {e: curve[e] for e in range(1, epoch + 1)}
            live.on_epoch(trial, epoch, {})
    assert "starting workers" not in "\n".join(screen(live))
    assert live.seconds_left() == pytest.approx(6, rel=0.4)


def test_slots_that_report_at_once_are_not_taken_for_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("tuning.reports.live_table.time.monotonic", lambda: now)
    whole = sweep_result(tmp_path / "sweep", trials=8, epochs=9)
    live = LiveTable(dataclasses.replace(whole.sweep, slots=4), console=silent())
    curve = dict.fromkeys(range(1, 10), 50.0)
    running = whole.trials[:4]
    for trial in running:
        trial.state, trial.curve = "running", {}
        live.on_start(trial)
    for epoch in (1, 2, 3):
        for place, trial in enumerate(running):
            # A minute an epoch, and all four within a second.
            now = 60.0 * epoch + place / 4
            trial.curve = {e: curve[e] for e in range(1, epoch + 1)}
            live.on_epoch(trial, epoch, {})
    # Six more epochs of these, nine of four others: fifteen minutes.
    assert live.seconds_left() == pytest.approx(15 * 60, rel=0.15)


def test_epochs_of_an_earlier_session_do_not_count_as_speed(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "sweep")
    live = LiveTable(result.sweep, result.trials[:8], console=silent())
    assert live.seconds_left() is None


SCRIPT = """
import signal, sys, time
from pathlib import Path
# A shell that starts the tests in the background lets them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {tests!r})
from synthetic import sweep_result
from tuning.reports.live_table import LiveTable, LiveTables
result = sweep_result(Path("sweep"))
try:
    with LiveTable(result.sweep, result.trials[:4]) as live:
        live.note("watching")
        time.sleep(60)
except KeyboardInterrupt:
    print("stopped cleanly")
"""


def test_ctrl_c_leaves_a_whole_screen() -> None:
    """On a real pseudo-terminal: the table is drawn, and the cursor comes back after Ctrl-C."""
    master, slave = pty.openpty()
    code = SCRIPT.format(tests=str(Path(__file__).parent))
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
        start_new_session=True,
    )
    os.close(slave)
    out, interrupted = b"", False
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
        if b"paper's" in out and b"watching" in out and not interrupted:
            interrupted = True
            # Within the drawing of its note it would be another test.
            time.sleep(1)
            child.send_signal(signal.SIGINT)
    child.wait(timeout=60)
    os.close(master)
    assert b"watching" in out
    assert out.rindex(b"\x1b[?25h") > out.rindex(b"\x1b[?25l")
    assert b"stopped cleanly" in out[out.rindex(b"\x1b[?25h") :]
    assert b"Traceback" not in out


@pytest.mark.parametrize("count", [1, 2])
def test_a_table_that_cannot_be_drawn_ends_nothing(tmp_path: Path, count: int) -> None:
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True)
    live, tables = several(tmp_path, console, count)
    result = sweep_result(tmp_path / "sweep0")
    result.trials[0].curve = {1: "no number"}  # type: ignore[dict-item]
    with live:
        tables[0].on_start(result.trials[0])
        tables[0].on_epoch(result.trials[0], 1, {})
        result.trials[0].state = "completed"
    assert any("The table cannot be drawn: ValueError" in line for line in screen(live))


# -- several sweeps --------------------------------------------------------------------------


def several(tmp_path: Path, console: Console, count: int = 3) -> tuple[LiveTables, list[LiveTable]]:
    live = LiveTables(console)
    tables = [live.add(sweep_result(tmp_path / f"sweep{n}").sweep) for n in range(count)]
    return live, tables


def test_several_sweeps_share_a_small_terminal(tmp_path: Path) -> None:
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True)
    live, tables = several(tmp_path, console)
    with live:
        for n, table in enumerate(tables):
            play(table, sweep_result(tmp_path / f"sweep{n}", seed=n), events=20 + 10 * n)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in screen(live)]
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert sum("lsskd · resnet8 · digits" in line for line in lines) == 3
    assert sum("/16 trials" in line for line in lines) == 3
    assert sum(line.startswith("best ") for line in lines) == 3


def test_lines_of_several_sweeps_say_whose_they_are_and_those_of_one_do_not(tmp_path: Path) -> None:
    for count in (1, 2):
        console = silent(200)
        live, tables = several(tmp_path, console, count)
        with live:
            play(tables[0], sweep_result(tmp_path / "sweep0"))
        written = console.file.getvalue()
        assert ("lsskd · resnet8 · digits  1/16" in written) == (count == 2)
        assert "1/16" in written
