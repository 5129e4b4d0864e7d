"""What a search will take is told before it begins, kept, and compared with what it took."""

import json
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import sweep_result

from kd.errors import UserError
from kd.screen import silent
from tuning.engine import runtime, trying
from tuning.engine.share import Share
from tuning.engine.trying import Tried, UntriedError, try_out
from tuning.records.asked import check_ends
from tuning.records.forecast import FILE, Band, Forecast, confirming
from tuning.reports.forecast import banded, compared, short
from tuning.reports.wording import duration
from tuning.search import main
from tuning.study.budget import Budget
from tuning.study.expected import SAMPLE, Outline, Pace, courses
from tuning.study.race import fewest_seeds
from tuning.study.trials import TrialRecord
from tuning.sweeps import forecasting
from tuning.sweeps.forecasting import Foresight

OUTLINE = Outline(
    trials=16, epochs=9, scheduler="asha", grace_period=3, reduction_factor=3, slots=2
)
SURE = Pace(epoch=2.0, trial=1.0, start=10.0, doubt=0.0)


def test_without_stopping_the_course_is_plain_arithmetic() -> None:
    for course in courses(replace(OUTLINE, scheduler="none"), SURE):
        assert (course.trials, course.epochs) == (16, 144)
        assert course.seconds == 10 + 8 * (1 + 9 * 2)
        assert course.busy == 2 * course.seconds


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_trained_before_the_first_epoch_takes_its_time(shared: bool) -> None:
    """Of each trial, or of those alone that begin first and keep it for the others."""
    pace = replace(SURE, before=7.0, shared=shared)
    for course in courses(replace(OUTLINE, scheduler="none"), pace):
        assert course.epochs == 144
        assert course.seconds == 10 + 8 * (1 + 9 * 2) + 7 * (1 if shared else 8)


def test_the_same_seed_gives_the_same_and_stopping_saves() -> None:
    first, again, other = (courses(OUTLINE, SURE, seed) for seed in (0, 0, 1))
    assert first == again != other
    epochs = Band.of(course.epochs for course in first)
    assert 9 + 15 * 3 <= epochs.low < epochs.middle < epochs.high < 144
    assert 85 < epochs.middle < 105, "as over generated landscapes"


@pytest.mark.parametrize(
    ("budget", "name", "most"),
    [
        (Budget(epochs=50), "epochs", 50),
        (Budget(hours=0.02), "seconds", 72),
        (Budget(cost=1, price=50), "seconds", 72),
        (Budget(epochs=100, confirming=360), "epochs", 50),
    ],
)
@pytest.mark.parametrize("trials", [None, 16])
def test_a_bound_ends_it(budget: Budget, name: str, most: float, trials: int | None) -> None:
    bounded = replace(OUTLINE, trials=trials, budget=budget)
    for course in courses(bounded, SURE):
        # Each trial ends the epoch that it is in, and one that was just begun its first.
        over = 0 if name == "epochs" else SURE.trial + SURE.epoch
        assert most * 0.999 <= getattr(course, name) <= most * 1.001 + over
        assert course.trials <= 16
    low, _, high = Band.of(getattr(c, name) for c in courses(bounded, replace(SURE, doubt=0.1)))
    assert (high - low > SURE.epoch / 2) == bool(over), "it is told how far it may come beyond"


def test_gpu_hours_are_those_of_all_slots() -> None:
    half = replace(OUTLINE, gpus=0.5, trials=None, budget=Budget(gpu_hours=0.02))
    for course in courses(half, SURE):
        assert 71.9 <= course.busy * 0.5 <= 72.1 + (SURE.trial + SURE.epoch)


def test_a_large_search_goes_on_as_it_began() -> None:
    large = replace(OUTLINE, trials=10 * SAMPLE, scheduler="none")
    (course, *_) = courses(large, SURE)
    assert (course.trials, course.epochs) == (10 * SAMPLE, 90 * SAMPLE)
    bounded = replace(large, budget=Budget(epochs=45 * SAMPLE))
    assert courses(bounded, SURE)[0].epochs == pytest.approx(45 * SAMPLE)


def test_doubt_widens_the_band() -> None:
    def width(doubt: float) -> float:
        low, _, high = Band.of(c.seconds for c in courses(OUTLINE, replace(SURE, doubt=doubt)))
        return high - low

    assert width(0.0) < width(0.2) < width(0.5)


# -- kept, and compared ---------------------------------------------------------------------------


def test_it_is_kept_and_compared_with_what_it_took(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s", trials=16)
    settings = replace(result.sweep.settings, price_per_hour=2.0, grace_period=3)
    result = replace(result, sweep=replace(result.sweep, settings=settings))
    assert compared(result) == []
    forecast = Forecast.of(settings, Pace(epoch=3.0, doubt=0.0), 2, 0.5)
    assert forecast.trials == (16, 16, 16)
    assert forecast.gpu_hours
    assert forecast.usd == pytest.approx(tuple(2 * hours for hours in forecast.gpu_hours))
    settings.folder.mkdir()
    forecast.keep(settings.folder)
    assert Forecast.load(settings.folder) == forecast
    (said,) = compared(result)
    low, _, high = forecast.seconds
    assert f"{duration(low)} to {duration(high)}; it took {result.epochs_spent} epochs in" in said
    more = replace(settings, trials=17)
    assert compared(replace(result, sweep=replace(result.sweep, settings=more))) == []


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"trials": 3}', '{"trials": [1, 2]}', "[" * 9]
)
def test_a_damaged_one_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    assert Forecast.load(tmp_path) is None


def test_a_band_of_one_number_is_one_number() -> None:
    assert banded(Band(16, 16, 16), str) == "16"
    assert banded(Band(24, 31, 36), duration) == "31 s (from 24 s to 36 s)"


def test_confirming_takes_from_the_first_look_to_all_seeds(tmp_path: Path) -> None:
    assert confirming(sweep_result(tmp_path / "s").sweep.settings) == (4 * 3 * 9, 4 * 10 * 9)


def test_a_search_is_forecast_from_its_first_epochs(tmp_path: Path) -> None:
    sweep = sweep_result(tmp_path / "s", trials=16).sweep
    sweep.folder.mkdir()
    said: list[str] = []

    def foresee() -> None:
        foresight = Foresight(sweep, said.append)
        began = time.time()
        for epoch, seconds in ((1, 9.0), (2, 2.0), (3, 2.0)):
            for number in range(2):
                trial = TrialRecord(number=number, config={}, spans=((began - 30, began),))
                foresight.on_epoch(trial, epoch, {"epoch_seconds": seconds})
        foresight.wait()

    foresee()
    kept = Forecast.load(sweep.folder)
    assert kept
    assert kept.fits(sweep.settings)
    assert said == [short(kept)]
    with silent():
        foresee()
    assert said == [short(kept)], "it is no warning"
    # 30 s to the first report, 9 of which it trained.
    epochs = kept.epochs.middle
    assert kept.seconds.middle == pytest.approx(21 + epochs + 8 * 0.35, rel=0.15)


# -- measured -------------------------------------------------------------------------------------


def test_what_cannot_be_trained_here_says_why(tmp_path: Path) -> None:
    base = sweep_result(tmp_path / "s", trials=1).sweep.settings.base
    with pytest.raises(UntriedError, match="nowhere"):
        try_out(replace(base, dataset="parquet:nowhere"), None, slots=1, cpus=1)


@pytest.mark.parametrize("measured", [True, False])
def test_on_a_machine_too_busy_to_measure_what_is_known_is_told(
    measured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = sweep_result(tmp_path / "s", trials=1).sweep.settings.base
    program = tmp_path / "python"
    said = {
        "imported": time.time(),
        "first": 0.2,
        "before": 0.0,
        "built": 0.1,
        "epoch": 3.0,
        "looked": True,
    }
    answer = f"read job\necho '{json.dumps(said)}'\n" * measured
    program.write_text(f"#!/bin/sh\n{answer}exec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(trying, "PATIENCE", 1.0)
    if measured:
        found = try_out(base, None, slots=2, cpus=1)
        assert found.hurried
        assert found.trials.epoch == pytest.approx(3.0 + trying.TELL)
        assert found.trials.doubt >= trying.HURRIED
    else:
        with pytest.raises(UntriedError, match="within 1 s nothing had begun to train"):
            try_out(base, None, slots=2, cpus=1)


def dry(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*words, "--preset", "laptop", "--local", "--dry-run"])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_a_dry_run_trains_for_a_moment(capsys: pytest.CaptureFixture[str]) -> None:
    said = dry(capsys, "kd", "--confirm", "--price-per-hour", "3.50", "--trials", "4")
    assert "measured here: " in said
    for line in ("trials: 4\n", "epochs: ", "training time: ", "cost: ", "of it, starting: "):
        assert f"  {line}" in said
    assert "  before it, the teacher: 9 epochs, " in said
    assert "  after it, confirming: 108 to 360 epochs, " in said
    if not runtime.local_gpus():
        assert "GPU" not in said
        assert "compiled" not in said


@pytest.mark.parametrize(
    ("hurried", "doubt", "why"),
    [
        (True, 0.9, "because the machine is too busy for the whole measurement"),
        (False, 0.9, "because other programs run here too, or because evaluating on val"),
        (False, 0.0, ""),
    ],
)
def test_a_dry_run_says_why_its_band_is_wide(
    hurried: bool,
    doubt: float,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = sweep_result(tmp_path / "s").sweep.settings
    tried = Tried(replace(SURE, doubt=doubt), hurried=hurried)
    found = forecasting._Found("measured here", tried, 2, 0.0)
    monkeypatch.setattr(forecasting, "_found", lambda *_: found)
    forecasting.dry_run(settings, settings.space())
    said = capsys.readouterr().out
    assert ("  the band is this wide because" in said) == bool(why)
    assert why in said


def test_a_dry_run_measures_what_comes_before_the_first_epoch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("ab", "--teacher", "resnet8", "--trials", "2", "--epochs", "2")
    said = dry(capsys, *words, "--set", "boundary_epochs=400")
    before = re.search(r"set up trials in them, (.*) for what their method trains before", said)
    assert before
    assert before[1] != "0 s"
    none = dry(capsys, *words[:1], *words[1:], "--set", "boundary_epochs=0")
    assert "trains before the first epoch" not in none


def test_a_dry_run_without_images_says_what_it_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("ce", "--dataset", "cifar100", "--data-root", str(tmp_path))
    said = dry(capsys, *words)
    assert "its pace is not measured: cifar100 is not downloaded yet\n  epochs: " in said


def test_gpu_hours_alone_end_nothing_without_a_gpu(tmp_path: Path) -> None:
    settings = replace(sweep_result(tmp_path / "s").sweep.settings, trials=None, gpu_hours=2.0)
    check_ends(settings, 1.0)
    check_ends(replace(settings, hours=3.0), 0.0)
    with pytest.raises(UserError, match="--gpu-hours ends no search whose trials hold no GPU"):
        check_ends(settings, 0.0)


@pytest.mark.parametrize(("hours", "short"), [(0.05, True), (2.0, False)])
def test_a_bound_that_cannot_hold_a_proof_is_said_to_be_too_little(
    hours: float, short: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the default and three candidates, at the pace that was measured, two at once."""
    tried = Tried(Pace(epoch=10.0))
    monkeypatch.setattr(forecasting, "try_out", lambda *_, **__: tried)
    monkeypatch.setattr(forecasting, "share_of", lambda *_: Share(slots=2, cpus=1, gpus=0))
    said = dry(capsys, "kd", "--confirm", "--hours", str(hours))
    found = [line for line in said.splitlines() if "too little to prove anything" in line]
    assert bool(found) == short
    if short:
        least = duration(4 * fewest_seeds(3) * 9 * 10.0 / 2)
        assert (
            f"half of 0.05 hours is too little to prove anything, which takes {least}" in found[0]
        )
