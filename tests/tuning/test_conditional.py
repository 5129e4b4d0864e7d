"""A search over hyperparameters that only some trials have: drawn, learnt from, resumed, shown."""

import math
import random
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from synthetic import sweep_result

from kd.config import TrainConfig
from search_spaces import Choice, load_space
from tuning.records.plan import print_plan
from tuning.records.presets import setting
from tuning.records.result import SweepResult
from tuning.records.settings import SweepSettings
from tuning.reports.figures import axis_of, coordinates, pair_of, slice_of
from tuning.reports.importance import importance
from tuning.reports.page import render
from tuning.study.searcher import StudySearcher
from tuning.study.trials import TrialRecord

BASE = setting("laptop", "lsskd", epochs=2).base
RANGES: dict[str, Any] = {
    "alpha_schedule": ["linear", "constant"],
    "beta": {"low": 1, "high": 8, "log": True, "when": {"alpha_schedule": "constant"}},
    "gamma": {"low": 0.1, "high": 0.9, "step": 0.1, "when": {"alpha_schedule": "linear"}},
}
SPACE = load_space("lsskd", BASE.backbone, ranges=RANGES)


def score(config: dict[str, Any]) -> float:
    kd = config["kd"]
    if kd["alpha_schedule"] == "constant":
        return 80 - 10 * abs(math.log(kd["beta"] / 2))
    return 60 - kd["gamma"]


def play(searcher: StudySearcher, trials: int) -> None:
    for _ in range(trials):
        record = searcher.suggest()
        assert record is not None
        for epoch in (1, 2):
            report = {"epoch": epoch, "val_acc": score(record.config)}
            searcher.report(record.number, report)
        searcher.end(record.number, report)


def study_of(blocks: list[int]) -> optuna.Study:
    """60 trials in memory; between two blocks the process dies with a trial that runs."""
    study = optuna.create_study(direction="maximize")
    for block in blocks:
        searcher = StudySearcher(study, SPACE, BASE, 60, seed=3)
        play(searcher, block)
        searcher.suggest()
    return study


def test_sixty_trials_draw_it_only_where_its_condition_holds_and_go_on():
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        study = study_of([17, 23, 20])
    trials = study.get_trials()
    assert len(trials) == 60
    assert all(trial.state.name == "COMPLETE" for trial in trials)
    seen = {"linear": 0, "constant": 0}
    for trial in trials:
        schedule, kd = trial.params["kd.alpha_schedule"], trial.user_attrs["config"]["kd"]
        constant = schedule == "constant"
        assert ("kd.beta" in trial.params) == constant
        assert ("kd.gamma" in trial.params) != constant
        if constant:
            assert kd["beta"] == trial.params["kd.beta"]
            assert kd["gamma"] == BASE.kd.gamma
        else:
            assert kd["beta"] == BASE.kd.beta
            assert kd["gamma"] in [n / 10 for n in range(1, 10)]
        seen[schedule] += 1
    assert min(seen.values()) >= 5
    # It learns that the constant one is better, and which β: near 2 lies a quarter of its range.
    late = [t.params for t in trials[30:] if t.params["kd.alpha_schedule"] == "constant"]
    assert len(late) >= 20
    assert sum(1.4 < params["kd.beta"] < 2.8 for params in late) > len(late) / 2


def test_a_resumed_search_draws_what_the_unbroken_one_draws():
    whole, broken = study_of([60]), study_of([17, 23, 20])
    assert [t.params for t in whole.get_trials()] == [t.params for t in broken.get_trials()]


def test_none_is_drawn_beforehand_where_all_trials_so_far_had_it():
    """Others would learn from the value while a trial runs that has no use for it."""
    study = optuna.create_study(direction="maximize")
    searcher = StudySearcher(study, SPACE, BASE, 60)
    for _ in range(20):
        study.enqueue_trial({"kd.alpha_schedule": "linear"})
    play(searcher, 21)
    study.enqueue_trial({"kd.alpha_schedule": "constant"})
    searcher.suggest()
    trial = study.get_trials()[-1]
    assert "kd.beta" in trial.params
    assert "kd.gamma" not in str(trial.system_attrs)


# -- shown -----------------------------------------------------------------------------------


@pytest.fixture
def result(tmp_path: Path) -> SweepResult:
    """A sweep whose β is searched with the constant schedule alone, and kept at 0 otherwise."""
    result = sweep_result(tmp_path / "s", trials=60, stopping=False)
    settings = replace(result.sweep.settings, ranges=RANGES)
    sweep = replace(result.sweep, settings=settings, searched=settings.space().domains)
    draw, trials = random.Random(0), []
    for trial in result.trials:
        kd = trial.config["kd"]
        constant = kd["alpha_schedule"] == "constant"
        kd["beta"] = draw.uniform(1, 8) if constant else 0.0
        kd["gamma"] = 0.05 if constant else draw.randint(1, 9) / 10
        value = (70 if constant else 40) + draw.gauss(0, 1)
        trials.append(replace(trial, curve=dict.fromkeys(trial.curve, value)))
    return SweepResult(sweep, trials)


def users(result: SweepResult) -> list[TrialRecord]:
    done = result.of("completed")
    return [t for t in done if t.config["kd"]["alpha_schedule"] == "constant"]


def test_a_chart_shows_the_trials_that_searched_it(result):
    chart = str(slice_of(result, "kd.beta").chart)
    assert len(re.findall("<title>[^<]*completed</title>", chart)) == len(users(result))
    assert axis_of(result, "kd.beta").low > 0.5, "a kept 0 has no place on a log axis"
    assert "completed" not in str(pair_of(result, "kd.beta", "kd.gamma").chart)
    both = str(pair_of(result, "kd.beta", "kd.alpha").chart)
    assert len(re.findall("<title>[^<]*completed</title>", both)) == len(users(result))


def test_a_line_goes_past_the_axis_of_what_it_lacks(result):
    lines = re.findall(r'<polyline[^>]*points="([^"]*)"', str(coordinates(result)))
    axes = len(result.sweep.searched) + 1
    assert {len(line.split()) for line in lines} == {axes - 1}
    assert len(lines) == len(result.of("completed"))


def test_the_importance_of_what_only_some_trials_have_is_not_that_of_the_condition(result):
    found = importance(result)
    assert found is not None
    shares = {share.name: share.share for share in found.shares}
    assert shares["kd.alpha_schedule"] > 0.8
    assert shares["kd.beta"] < 0.1
    assert shares["kd.gamma"] < 0.1
    assert importance(result) == found


@pytest.mark.parametrize("alike", [True, False])
def test_a_page_is_made_of_it(alike, result):
    if alike:
        for trial in result.trials:
            trial.config["kd"]["alpha_schedule"] = "linear"
            trial.config["kd"]["beta"] = 0.0
    page = render(result)
    assert "beta is searched only where kd.alpha_schedule is constant." in page
    assert "One that a trial did not search counts there with any of its values." in page


def test_a_page_without_conditions_says_nothing_of_them(tmp_path):
    page = render(sweep_result(tmp_path / "s"))
    assert "searched only where" not in page
    assert "did not search" not in page


def test_the_plan_says_steps_conditions_and_what_moves(capsys, tmp_path):
    ranges = RANGES | {"alpha": {"low": 0.15, "high": 0.75, "step": 0.2}}
    settings = SweepSettings(name="s", base=BASE, trials=4, ranges=ranges, storage=tmp_path)
    print_plan(settings, settings.space())
    said = capsys.readouterr().out
    assert "  kd.alpha: 0.15 … 0.75 in steps of 0.2\n" in said
    assert "1 … 8 (log), only where kd.alpha_schedule is constant, else the paper's\n" in said
    assert "lies outside; the first trial has instead:\n  kd.alpha = 0.75, not 0.8\n" in said
    assert "kd.gamma = 0.1, not 0.05" in said
    settings = replace(settings, ranges={})
    print_plan(settings, settings.space())
    assert "lies outside" not in capsys.readouterr().out


def test_a_choice_that_only_some_trials_have(result):
    when = {"kd.alpha_schedule": ("constant",)}
    target = Choice(("backbone", "deepest"), when=when)
    searched = {**result.sweep.searched, "kd.feature_target": target}
    result = SweepResult(replace(result.sweep, searched=searched), result.trials)
    assert axis_of(result, "kd.feature_target").categories == ("backbone", "deepest")
    for trial in users(result):
        trial.config["kd"]["feature_target"] = "deepest" if trial.number % 2 else "backbone"
    found = importance(result)
    assert found is not None
    assert render(result)
    assert TrainConfig.from_dict(result.trials[1].config)
