"""A sweep belongs to one process from its search to its proof, and whoever looks on is told so."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import sweep_result

from kd.errors import UserError
from kd.typed import read_flags
from tuning import report
from tuning.records.request import Flags
from tuning.records.result import SweepResult
from tuning.records.settings import SweepSettings
from tuning.reports.sentences import caveats
from tuning.reports.spending import cost
from tuning.storage.claim import claimed, in_use
from tuning.study.trials import TrialRecord
from tuning.sweeps.candidates import Asked
from tuning.sweeps.confirmation import confirm_sweep
from tuning.sweeps.run import run_sweeps
from tuning.sweeps.searching import plan_asked, search_asked

HOLD = """
import sys
from pathlib import Path
from tuning.storage.claim import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the sweep."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_sweep_belongs_to_one_process_while_it_lives(tmp_path: Path) -> None:
    with claimed(tmp_path), claimed(tmp_path):
        assert not in_use(tmp_path)
    with another(tmp_path) as process:
        assert in_use(tmp_path)
        other = pytest.raises(UserError, match="Another process is searching or confirming")
        with other, claimed(tmp_path):
            pass
        process.kill()
        process.wait()
        assert not in_use(tmp_path)
    with claimed(tmp_path):
        pass


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepResult:
    """A sweep that ended, as any command reads it."""
    result = sweep_result(tmp_path / "sweep")
    result.sweep.folder.mkdir(parents=True, exist_ok=True)
    for module in ("tuning.report", "tuning.sweeps.confirmation"):
        monkeypatch.setattr(f"{module}.load_result", lambda *_: result)
    return result


def test_whoever_comes_second_neither_searches_nor_confirms(
    kept: SweepResult, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = kept.sweep.settings
    with another(settings.folder):
        for begin in (
            lambda: confirm_sweep(settings, Asked()),
            lambda: run_sweeps([(settings, settings.space())]),
        ):
            with pytest.raises(UserError, match=f"or confirming {settings.name}; wait for it"):
                begin()
    assert capsys.readouterr().out == ""


def reported(settings: SweepSettings, capsys: pytest.CaptureFixture[str]) -> str:
    report.report(report.Flags(sweeps=(settings.name,), storage=settings.storage))
    return capsys.readouterr().out


def test_the_report_of_a_sweep_that_runs_says_so(
    kept: SweepResult, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = kept.sweep.settings
    ended = reported(settings, capsys)
    assert "Still running" not in ended
    assert "Interrupted" not in ended
    del kept.trials[9:]
    kept.trials[8].state = "running"
    with another(settings.folder):
        running = reported(settings, capsys)
        assert "Still running: 8 of 16 trials ended." in running
        assert "kd.train" not in running
        assert "The forecast was" not in running
        assert 'http-equiv="refresh"' in (settings.folder / "report.html").read_text()
    assert "Interrupted after 8 of 16 trials." in reported(settings, capsys)


def test_what_is_being_confirmed_is_not_told_to_go_on(kept: SweepResult) -> None:
    begun = replace(kept, again=[TrialRecord(number=0, config={})])
    assert "tuning.confirm" in " ".join(caveats(begun))
    with another(kept.sweep.folder):
        said = " ".join(caveats(begun))
    assert "It is being confirmed now." in said
    assert "tuning.confirm" not in said
    # And of what has trained nothing yet the cost is not told twice.
    assert "Search and confirmation" not in cost(begun)


def test_a_search_has_its_sweep_until_its_best_is_proved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between both nobody else may begin to confirm."""
    words = ["ce", "--preset", "laptop", "--local", "--confirm", "--name", "s", "--storage"]
    flags = read_flags(Flags, [*words, str(tmp_path)])
    asks = "import sys; from pathlib import Path; from tuning.storage.claim import in_use"
    command = [sys.executable, "-c", f"{asks}; sys.exit(in_use(Path(sys.argv[1])))"]
    seen = []

    def look(_: object) -> int:
        seen.append(subprocess.run([*command, str(tmp_path / "s")], check=False).returncode)
        return 0

    monkeypatch.setattr("tuning.sweeps.run.run_sweeps", look)
    monkeypatch.setattr("tuning.sweeps.searching._confirm", look)
    assert search_asked(flags, plan_asked(flags)) == 0
    look(None)
    assert seen == [1, 1, 0]


def test_a_glance_at_a_sweep_keeps_nobody_from_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`in_use` holds the lock for a moment."""
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    monkeypatch.setattr("tuning.storage.claim.time.sleep", lambda _: os.close(handle))
    with claimed(tmp_path):
        pass
