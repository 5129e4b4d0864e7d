import re
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import sweep_result

from tuning.records.result import SweepResult
from tuning.reports.live_page import LiveReport
from tuning.reports.page import render
from tuning.study.trials import Observer


def tell(observer: Observer, result: SweepResult) -> None:
    for trial in result.trials:
        observer.on_start(trial)
        for epoch in trial.curve:
            observer.on_epoch(trial, epoch, trial.metrics)
        observer.on_end(trial)


def test_the_report_is_there_while_the_sweep_runs(tmp_path: Path) -> None:
    result = sweep_result(tmp_path)
    observer = LiveReport(result.sweep, pause=0.0)
    observer.on_start(result.trials[0])
    assert not (tmp_path / "report.html").exists()
    observer.on_epoch(result.trials[0], 1, {})
    page = (tmp_path / "report.html").read_text()
    assert '<meta http-equiv="refresh"' in page
    assert "The sweep is running" in page
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_it_writes_seldom_and_at_once_when_it_may(tmp_path: Path) -> None:
    result = sweep_result(tmp_path)
    observer = LiveReport(result.sweep)
    tell(observer, result)
    # One page, of the first epoch of the first trial.
    assert "1 completed, 0 stopped, 0 failed, 0 running." in page(tmp_path)
    eager = LiveReport(result.sweep, result.trials[:5], pause=0.0)
    eager.on_end(result.trials[5])
    rows = re.findall(r'<th scope="row" class="number">(\d+)</th>', page(tmp_path))
    assert sorted(map(int, rows)) == list(range(6))


def page(folder: Path) -> str:
    return (folder / "report.html").read_text()


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    result = sweep_result(tmp_path)
    gone = replace(result.sweep, settings=replace(result.sweep.settings, name="gone"))
    observer = LiveReport(gone, pause=0.0)
    tell(observer, result)


def test_a_page_that_fails_is_told_of_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr("tuning.reports.files.render", fail)
    result = sweep_result(tmp_path)
    tell(LiveReport(result.sweep, pause=0.0), result)
    (line,) = capsys.readouterr().out.splitlines()
    assert "is not written: ZeroDivisionError: float division by zero." in line


def test_a_finished_report_does_not_reload_and_tells_the_machine(tmp_path: Path) -> None:
    result = sweep_result(tmp_path)
    told = SweepResult(
        replace(result.sweep, environment={"machine": "8 × Some CPU", "git_commit": "abc"}),
        result.trials,
    )
    finished = render(told)
    assert "http-equiv" not in finished
    assert '<th scope="row">machine</th><td>8 × Some CPU</td>' in finished
    assert '<th scope="row">git commit</th><td>abc</td>' in finished
