"""A search that is bounded by what it may spend ends there, and goes on where it may spend more."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from synthetic import sweep_result

from kd.config import TrainConfig
from kd.typed import read_flags
from search_spaces import load_space
from tuning.records import request
from tuning.records.plan import set_aside, size
from tuning.records.request import Flags
from tuning.records.result import load_result
from tuning.records.settings import SweepSettings
from tuning.reports.confirmed import ended_early
from tuning.reports.estimate import seconds_left
from tuning.reports.live_rows import so_far
from tuning.reports.page import render
from tuning.reports.wording import dollars
from tuning.study.budget import Budget, merged, seconds
from tuning.study.listing import RaceSearcher
from tuning.study.searcher import HOPELESS, StudySearcher
from tuning.study.trials import TrialRecord

BASE = TrainConfig.paper("pskd", "resnet8", "digits", epochs=4)


def trial(number: int, epochs: int, spans: tuple[tuple[float, float], ...], gpus: float = 0.0):
    curve = dict.fromkeys(range(1, epochs + 1), 50.0)
    return TrialRecord(number=number, config={}, curve=curve, spans=spans, gpus=gpus)


def test_each_bound_counts_what_it_says() -> None:
    trials = [trial(0, 3, ((0, 1800), (7200, 9000)), 0.5), trial(1, 4, ((0, 3600),), 0.5)]
    assert merged(trials) == [(0, 3600), (7200, 9000)]
    assert seconds(trials) == 5400
    assert Budget().spent(trials) == ""
    assert Budget(epochs=8).spent(trials) == ""
    assert Budget(epochs=7).spent(trials) == "7 epochs"
    assert Budget(hours=1.51).spent(trials) == ""
    assert Budget(hours=1.5).spent(trials) == "1.5 hours"
    assert Budget(gpu_hours=1.01).spent(trials) == ""
    assert Budget(gpu_hours=1).spent(trials) == "1 GPU-hours"
    assert Budget(cost=2.01, price=2).spent(trials) == ""
    assert Budget(cost=2, price=2).spent(trials) == "2 USD"


def test_without_a_gpu_the_clock_is_paid() -> None:
    trials = [trial(0, 3, ((0, 3600),)), trial(1, 3, ((0, 3600), (7200, 9000)))]
    assert Budget(price=2).usd(trials) == 3
    assert Budget(cost=3, price=2).spent(trials) == "3 USD"
    assert Budget(cost=3, price=2).usd([]) == 0


def test_what_confirming_takes_is_set_aside_but_never_more_than_half() -> None:
    trials = [trial(0, 10, ((0, 3600),))]
    few = Budget(epochs=100, hours=40, confirming=30)
    epochs, hours = few.bounds(trials)
    assert (epochs.own, epochs.share) == (70, 1 / 7)
    assert (hours.aside, hours.own) == (3, 37), "30 epochs at 10 an hour"
    many = Budget(epochs=101, hours=4, cost=8, price=1, confirming=360)
    assert [bound.aside for bound in many.bounds(trials)] == [50, 2, 4]
    assert [bound.aside for bound in many.bounds([])] == [50, 2, 4]
    assert many.spent([trial(0, 51, ())]) == "51 of 101 epochs"
    assert few.nearest(trials) == epochs


def test_an_epoch_that_runs_is_spent() -> None:
    trials = [trial(0, 5, ()), trial(1, 4, ())]
    assert Budget(epochs=11).spent(trials, begun=1) == ""
    assert Budget(epochs=11).spent(trials, begun=2) == "11 epochs"


def play(searcher: StudySearcher, slots: int = 2) -> None:
    """Epoch by epoch, each slot in turn, as long as anybody wants to know."""
    running: list[TrialRecord] = []
    while True:
        while len(running) < slots and (record := searcher.suggest()):
            running.append(record)
        if not running:
            return
        for record in list(running):
            epoch = record.epoch + 1
            report = {"trial": record.number, "epoch": epoch, "val_acc": 50.0 + record.number}
            if not searcher.wants(record.number) or epoch == 4:
                searcher.end(record.number, report)
                running.remove(record)
            else:
                searcher.report(record.number, report)


def test_a_search_ends_when_it_is_spent_and_goes_on_with_more() -> None:
    study = optuna.create_study(direction="maximize")
    space = load_space("pskd", "resnet8")
    first = StudySearcher(study, space, BASE, 9, budget=Budget(epochs=10))
    play(first)
    spent = sum(record.epoch for record in first.records.values())
    assert spent == 10, "no epoch begins beyond the bound"
    assert first.over == "10 epochs"
    states = [record.state for record in first.records.values()]
    assert states.count("running") == 2, "cut short, they are neither stopped nor failed"
    same = StudySearcher(study, space, BASE, 9, budget=Budget(epochs=10))
    assert same.suggest() is None
    more = StudySearcher(study, space, BASE, 9, budget=Budget(epochs=25))
    again = more.suggest()
    assert again
    assert again.epoch > 0, "those that were cut short go on first"
    more.end(again.number, {"trial": again.number, "epoch": 4, "val_acc": 60.0})
    play(more)
    assert more.records[again.number].state == "completed"
    assert StudySearcher(study, space, BASE, 9).suggest() is not None


def test_a_trial_that_told_its_last_epoch_begins_no_other() -> None:
    """It runs until its process is heard to have ended, and another may begin meanwhile."""
    study, space = optuna.create_study(direction="maximize"), load_space("pskd", "resnet8")
    searcher = StudySearcher(study, space, BASE, None, budget=Budget(epochs=11))
    for number in (0, 1):
        assert searcher.suggest()
        for epoch in range(1, BASE.epochs + 1 if number == 0 else 2):
            searcher.report(number, {"trial": number, "epoch": epoch, "val_acc": 50.0})
    assert searcher.over == "", "5 epochs were told, and one has begun"
    assert searcher.suggest()
    searcher.report(2, {"trial": 2, "epoch": 1, "val_acc": 10.0})
    searcher.give_up(2)
    for epoch in (2, 3):
        searcher.report(1, {"trial": 1, "epoch": epoch, "val_acc": 50.0})
    assert searcher.over == "", "8 were told, and one has begun"
    searcher.report(1, {"trial": 1, "epoch": 4, "val_acc": 50.0})
    assert searcher.over == "", "9 were told, and none has begun"


def test_the_number_of_trials_may_be_open() -> None:
    study, space = optuna.create_study(direction="maximize"), load_space("pskd", "resnet8")
    searcher = StudySearcher(study, space, BASE, None, budget=Budget(epochs=23))
    play(searcher, slots=3)
    assert sum(record.epoch for record in searcher.records.values()) == 23
    assert len(searcher.records) == 6
    counted = StudySearcher(study, space, BASE, 7)
    play(counted)
    assert len(counted.records) == 7, "resumed with a number, it ends with that"


def test_an_open_search_whose_trials_all_fail_ends() -> None:
    study, space = optuna.create_study(direction="maximize"), load_space("pskd", "resnet8")
    for begun in (HOPELESS, 2 * HOPELESS):
        searcher = StudySearcher(study, space, BASE, None, budget=Budget(epochs=10))
        while record := searcher.suggest():
            searcher.end(record.number, {"trial": record.number, "failed": "no room"})
        assert len(searcher.records) == begun, "another session tries again"


def test_epochs_that_are_told_again_are_not_cut_short() -> None:
    study, space = optuna.create_study(direction="maximize"), load_space("pskd", "resnet8")
    first = StudySearcher(study, space, BASE, 2)
    record = first.suggest()
    assert record
    for epoch in (1, 2):
        first.report(0, {"trial": 0, "epoch": epoch, "val_acc": 50.0})
    # Its checkpoint is older than its study.
    again = StudySearcher(study, space, BASE, 2, budget=Budget(epochs=3))
    assert again.suggest()
    assert again.wants(0, 1)
    assert again.wants(0, 2), "epoch 3 is its own, which was begun"
    assert not again.wants(0, 3)


def test_a_race_ends_with_the_bound_and_goes_on_without() -> None:
    study = optuna.create_study(direction="maximize")
    candidates = {0: BASE, 3: replace(BASE, batch_size=32)}
    before = [trial(0, 30, ())]
    racer = RaceSearcher(study, candidates, range(1, 11), budget=Budget(epochs=58), before=before)
    play(racer)
    assert sum(record.epoch for record in racer.records.values()) == 28
    assert racer.over == "58 epochs"
    assert racer.standing.racing
    assert racer.standing.seeds == 3
    said = ended_early(racer.standing, 10, racer.over)
    assert said.startswith("Confirming ended as its 58 epochs were spent, after 3 of 10 seeds: ")
    free = RaceSearcher(study, candidates, range(1, 11))
    play(free)
    assert not free.standing.racing


# -- what is asked --------------------------------------------------------------------------------


def asked(*words: str) -> SweepSettings:
    flags = read_flags(Flags, ["ce", "--preset", "laptop", *words])
    (settings,) = request.sweeps(flags, gpus=0)
    return settings


def test_a_bound_takes_the_place_of_the_number_of_trials(tmp_path: Path) -> None:
    kept = ("--storage", str(tmp_path))
    usual, bounded = asked(*kept), asked(*kept, "--epochs-total", "90")
    assert (usual.trials, usual.planned) == (16, 16)
    assert (bounded.trials, bounded.planned) == (None, 30), "at most 30, of 3 epochs at least"
    assert asked(*kept, "--epochs-total", "90", "--trials", "5").trials == 5
    assert asked(*kept, "--hours", "2").planned is None
    assert asked(*kept, "--cost", "2", "--price-per-hour", "1").trials is None
    assert asked(*kept, "--price-per-hour", "1").trials == 16
    assert size(bounded) == "as many trials of at most 9 epochs as 90 epochs allow"
    bounded.save()
    assert SweepSettings.load(tmp_path, bounded.name) == bounded
    assert "--trials" not in request.anew(bounded)


def test_what_is_set_aside_is_said() -> None:
    assert set_aside(asked("--epochs-total", "90")) == []
    said = set_aside(asked("--epochs-total", "90", "--hours", "2", "--confirm"))
    assert said == [
        "of 90 epochs, 45 are set aside for confirming, which takes 360 at most",
        "of 2 hours, what confirming takes at most is set aside, up to 1",
        "so few epochs are too few to prove anything, which takes 180 at least: give more, or "
        "confirm afterwards without a bound",
    ]
    assert len(set_aside(asked("--epochs-total", "360", "--confirm"))) == 1


def test_the_bar_goes_by_the_nearest_bound(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s", trials=8)
    sweep, spent = result.sweep, result.epochs_spent

    def shown(**changes: object) -> tuple[float, str]:
        settings = replace(sweep.settings, **changes)
        return so_far(replace(result, sweep=replace(sweep, settings=settings)))

    assert shown() == (1.0, "8/8 trials")
    assert shown(trials=16, epochs_total=10 * spent) == (0.5, "8/16 trials")
    both = f"8/16 trials, {spent}/{spent + 9} epochs"
    assert shown(trials=16, epochs_total=spent + 9) == (spent / (spent + 9), both)
    assert shown(trials=None, epochs_total=2 * spent) == (
        0.5,
        f"8 trials, {spent}/{2 * spent} epochs",
    )


def test_the_estimate_goes_by_the_nearest_bound(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s", trials=8)
    spent, hours = result.epochs_spent, result.seconds / 3600

    def left(**changes: object) -> float | None:
        settings = replace(result.sweep.settings, **changes)
        sweep = replace(result, sweep=replace(result.sweep, settings=settings))
        return seconds_left(sweep, trained=spent, within=result.seconds, since_report=0.0)

    assert left() == 0
    by_epochs, by_hours = left(trials=None, epochs_total=2 * spent), left(trials=None, hours=hours)
    assert by_epochs == pytest.approx(result.seconds)
    assert by_hours == pytest.approx(0.0)
    assert left(trials=None, hours=3 * hours, epochs_total=2 * spent) == by_epochs


def test_a_page_of_an_open_search_says_what_bounds_it(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s", trials=8)
    settings = replace(result.sweep.settings, trials=None, cost=5.0, price_per_hour=60.0)
    page = render(replace(result, sweep=replace(result.sweep, settings=settings)))
    assert "8 of as many as 5 USD allow" in page
    assert dollars(result.seconds / 60) in page


def run(*words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tuning.search", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_real_search_keeps_its_budget(tmp_path: Path) -> None:
    kept = ["--storage", str(tmp_path)]
    said = run(
        "ce", "--preset", "laptop", "--local", "--epochs", "3", "--name", "b",
        "--epochs-total", "12", "--scheduler", "none", "--search-optimizer", *kept,
    )  # fmt: skip
    assert "as many trials of at most 3 epochs as 12 epochs allow, about 12 epochs in all" in said
    assert "It ended as its 12 epochs were spent" in said
    assert "The forecast was 12 epochs in" in said
    result = load_result(tmp_path, "b")
    assert result.epochs_spent == 12
    assert result.best
    said = run("--resume", "b", "--epochs-total", "18", *kept)
    assert "It ended as its 18 epochs were spent" in said
    more = load_result(tmp_path, "b")
    assert more.epochs_spent == 18
    assert [t.config for t in more.trials[: len(result.trials)]] == [
        t.config for t in result.trials
    ]


def test_a_real_search_confirms_within_its_bound(tmp_path: Path) -> None:
    """An epoch of a trial of two seeds counts as two, one of its confirmation as one."""
    kept = ["--storage", str(tmp_path)]
    said = run(
        "ce", "--preset", "laptop", "--local", "--epochs", "1", "--name", "c", "--confirm",
        "--epochs-total", "12", "--search-optimizer", "--price-per-hour", "36",
        "--seeds-per-trial", "2", *kept,
    )  # fmt: skip
    assert "c: of 12 epochs, 6 are set aside for confirming, which takes 40 at most" in said
    assert "It ended as its 6 of 12 epochs were spent, the others being for confirming" in said
    assert "Confirming ended as its 12 epochs were spent, after 2 of 10 seeds: nothing is" in said
    assert "The test set is still sealed; go on with: python -m tuning.confirm c" in said
    assert "Search and confirmation: 12 epochs trained in " in said
    assert " USD; 6 epochs of it to confirm." in said
    result = load_result(tmp_path, "c")
    assert result.findings is None
    assert [trial.trained for trial in result.trials] == [2, 2, 2]
    page = (tmp_path / "c" / "report.html").read_text()
    assert "Confirming it was begun and is not decided: python -m tuning.confirm c" in page
    assert "Search and confirmation: 12 epochs trained in " in page


@pytest.mark.parametrize(
    ("flag", "value"), [("--epochs-total", "0"), ("--hours", "-1.0"), ("--gpu-hours", "0.0")]
)
def test_a_budget_of_nothing_is_refused(flag: str, value: str, tmp_path: Path) -> None:
    said = run("ce", "--preset", "laptop", flag, value, "--storage", str(tmp_path), code=2)
    assert f"{flag} is {value}; it must be from" in said
