"""What the importance of hyperparameters tells, and when it is worked out."""

import json
from pathlib import Path

import pytest
from synthetic import sweep_result

from tuning.reports.files import write_report
from tuning.reports.importance import importance, kept_importance
from tuning.reports.page import render


def test_importance_finds_what_matters(tmp_path: Path) -> None:
    found = importance(sweep_result(tmp_path / "s", trials=75, stopping=False))
    assert found is not None
    assert (found.epoch, found.n) == (9, 70)
    matters = {"kd.alpha", "kd.temperature", "optimizer.lr"}
    assert {share.name for share in found.shares[:3]} == matters
    assert sum(share.share for share in found.shares) == pytest.approx(1)
    assert all(share.low <= share.share <= share.high for share in found.shares[:3])


def test_equal_trials_say_nothing_of_importance(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s")
    for trial in result.trials:
        trial.curve = dict.fromkeys(trial.curve, 100.0)
    assert importance(result) is None
    page = render(result)
    assert "Importance of each hyperparameter" not in page
    assert page.count(">100.00 %</dd>") == 1


def test_importance_of_few_trials_is_not_told(tmp_path: Path) -> None:
    assert importance(sweep_result(tmp_path / "s", trials=9)) is None


def test_importance_compares_at_one_epoch_that_enough_trials_reached(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s", trials=16)
    found = importance(result)
    assert found is not None
    assert found.n == sum(found.epoch in t.curve and t.state != "failed" for t in result.trials)
    assert found.n == 15


def test_importance_is_worked_out_once_and_again_for_other_trials(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s")
    result.sweep.folder.mkdir()
    first = kept_importance(result)
    assert first == importance(result)
    kept = result.sweep.folder / "importance.json"
    other = json.loads(kept.read_text())
    other["n"] = 1234
    kept.write_text(json.dumps(other))
    again = kept_importance(result)
    assert again
    assert again.n == 1234
    result.trials[1].curve[1] += 1
    assert kept_importance(result) == importance(result)
    whole = kept.read_text()
    for damage in ("", "{", "[]", '{"stamp": 1}', whole.replace('"share"', '"part"')):
        kept.write_text(damage)
        assert kept_importance(result) == importance(result)
        assert kept.read_text() == whole


def test_a_picture_and_tables_of_other_trials_are_made_again(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s")
    result.sweep.folder.mkdir()
    picture, trials = (result.sweep.folder / name for name in ("curves.png", "trials.parquet"))
    write_report(result)
    for changed in (picture, trials):
        before = changed.read_bytes()
        changed.write_bytes(before[:100])
        write_report(result)
        assert changed.read_bytes() == before
    before = picture.read_bytes(), trials.read_bytes()
    assert result.best
    result.best.curve[result.best.epoch] -= 20
    write_report(result)
    assert picture.read_bytes() != before[0]
    assert trials.read_bytes() != before[1]


def test_the_importance_says_why_optuna_dashboard_says_another(tmp_path: Path) -> None:
    assert "optuna-dashboard shows other shares" in render(sweep_result(tmp_path / "s"))
