"""Rungs and the stopping rules."""

import random
import subprocess
import sys

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler

from kd.errors import UserError
from tuning.study.rules import rungs
from tuning.study.stopping import make_stopping, score
from tuning.study.trials import TrialRecord


@pytest.mark.parametrize(
    ("epochs", "grace_period", "reduction_factor", "expected"),
    [
        (9, 1, 3, [1, 3]),
        (10, 1, 3, [1, 3, 9]),
        (243, 1, 3, [1, 3, 9, 27, 81]),
        (240, 15, 2, [15, 30, 60, 120]),
        (12, 2, 1.5, [2, 3, 5, 7, 11]),
        (8, 1, 1.1, [1, 2, 3, 4, 5, 6, 7]),
        (5, 5, 3, []),
        (1, 1, 3, []),
    ],
)
def test_rungs_are_geometric_and_below_the_last_epoch(
    epochs, grace_period, reduction_factor, expected
):
    assert rungs(epochs, grace_period, reduction_factor) == expected


@pytest.mark.parametrize(
    ("name", "epochs", "grace_period", "reduction_factor", "sentence"),
    [
        ("asha", 9, 10, 3, "grace period is 10; it must lie between 1 and the 9 epochs"),
        ("asha", 9, 0, 3, "grace period is 0"),
        ("asha", 9, 1, 1, "reduction factor is 1; it must be above 1"),
        ("asha", 9, 1, float("nan"), "reduction factor is nan"),
        ("ahsa", 9, 1, 3, "no scheduler 'ahsa'; did you mean 'asha'"),
    ],
)
def test_values_that_make_no_sense(name, epochs, grace_period, reduction_factor, sentence):
    with pytest.raises(UserError, match=sentence):
        make_stopping(name, epochs, grace_period, reduction_factor)


def interleaved(trials, epochs, seed):
    """Reports of trials that run side by side, and what each would report next."""
    generator = random.Random(seed)
    running = dict.fromkeys(range(1, trials + 1), 0)
    while running:
        number = generator.choice(list(running)[:4])
        running[number] += 1
        yield number, running[number], generator.uniform(0, 100), running
        if running.get(number) == epochs:
            del running[number]


@pytest.mark.parametrize("reduction_factor", [2, 3, 4])
def test_asha_decides_as_rays_own(reduction_factor):
    ours = make_stopping("asha", 27, 1, reduction_factor)
    rays = AsyncHyperBandScheduler("epoch", "val_acc", "max", 27, 1, reduction_factor)
    trials = [Trial("synthetic", stub=True) for _ in range(61)]
    for trial in trials:
        rays.on_trial_add(None, trial)
    stopped = 0
    for number, epoch, value, running in interleaved(60, 27, seed=reduction_factor):
        result = {"trial": number, "epoch": epoch, "val_acc": value}
        decision = ours.stops(result)
        theirs = rays.on_trial_result(None, trials[number], result)
        if epoch < 27:
            assert decision == (theirs == "STOP")
        if decision:
            stopped += 1
            del running[number]
    assert 20 < stopped < 60


def test_a_restart_changes_no_decision():
    unbroken, first, second = (make_stopping("asha", 9, 1, 3) for _ in range(3))
    records = {number: TrialRecord(number=number, config={}) for number in range(1, 41)}
    decisions = 0
    for count, (number, epoch, value, running) in enumerate(interleaved(40, 9, seed=5)):
        if count == 60:
            second.replay(records.values())
        restarted = first if count < 60 else second
        result = {"trial": number, "epoch": epoch, "val_acc": value}
        decision = unbroken.stops(result)
        assert restarted.stops(result) == decision
        records[number].curve[epoch] = value
        if decision:
            decisions += count > 60
            del running[number]
    assert decisions > 5


@pytest.mark.parametrize("name", ["asha", "median", "none"])
def test_no_trial_is_stopped_where_none_is_judged(name):
    """A trial whose files may be deleted after an epoch keeps none on its way then."""
    stopping = make_stopping(name, 27, 2, 3)
    stopped = set()
    for number, epoch, value, running in interleaved(60, 27, seed=1):
        if stopping.stops({"trial": number, "epoch": epoch, "val_acc": value}):
            stopped.add(epoch)
            running.pop(number)
    assert all(epoch in stopping.judged for epoch in stopped)
    assert bool(stopped) == (name != "none")
    judged = [epoch for epoch in range(1, 28) if epoch in stopping.judged]
    assert judged == {"asha": [2, 6, 18], "median": list(range(2, 28)), "none": []}[name]


def test_an_epoch_that_is_reported_again_is_not_decided_again():
    stopping = make_stopping("asha", 9, 1, 3)
    low = {"trial": 1, "epoch": 1, "val_acc": 10.0}
    assert not stopping.stops(low)
    stopping.stops({"trial": 2, "epoch": 1, "val_acc": 90.0})
    assert not stopping.stops(low)
    assert stopping.stops({**low, "trial": 3})


@pytest.mark.parametrize("name", ["asha", "median"])
def test_the_papers_default_is_never_stopped(name):
    stopping = make_stopping(name, 9, 1, 3)
    for number in (1, 2, 3):
        stopping.stops({"trial": number, "epoch": 1, "val_acc": 90.0})
    default = {"trial": 0, "epoch": 1, "val_acc": 10.0}
    assert not stopping.stops(default)
    assert stopping.stops({**default, "trial": 4})


@pytest.mark.parametrize("name", ["asha", "median", "none"])
def test_a_trial_that_diverged_is_stopped(name):
    stopping = make_stopping(name, 9)
    result = {"trial": 0, "epoch": 2, "val_acc": float("nan"), "diverged": True}
    assert stopping.stops(result)


def test_a_score_is_always_finite():
    assert score({"val_acc": 71.5}) == 71.5
    assert score({"val_acc": float("nan")}) == 0.0
    assert score({"val_acc": 71.5, "diverged": True}) == 0.0
    assert score({}) == 0.0


def test_the_median_rule_stops_what_is_below_the_median_of_averages():
    stopping = make_stopping("median", 9, 2)
    for number, value in enumerate([40.0, 50.0, 60.0]):
        for epoch in (1, 2, 3):
            report = {"trial": number, "epoch": epoch, "val_acc": value}
            assert not stopping.stops(report)
    late = {"trial": 3, "epoch": 1, "val_acc": 10.0}
    assert not stopping.stops(late)
    better = {"trial": 3, "epoch": 2, "val_acc": 50.0}
    assert not stopping.stops(better)
    for epoch, decision in [(1, False), (2, True)]:
        worse = {"trial": 4, "epoch": epoch, "val_acc": 44.0}
        assert stopping.stops(worse) == decision


def test_none_never_stops():
    stopping = make_stopping("none", 9)
    for number in range(9):
        result = {"trial": number, "epoch": 3, "val_acc": float(-number)}
        assert not stopping.stops(result)


def test_rungs_need_no_ray():
    code = "import sys; from tuning.study.rules import rungs; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_rungs_by_any_factor_end() -> None:
    assert rungs(9, 1, 1 + 1e-15) == rungs(9, 1, 1.0000001) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert rungs(9, 2, 1e308) == [2]
    assert rungs(240, 8, 3) == [8, 24, 72, 216]
    assert rungs(9, 1, 1.5) == [1, 2, 3, 4, 6, 8]
