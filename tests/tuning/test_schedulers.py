"""Hyperband, top-k and the trials that run on, over curves and in searches that are broken off."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tuning.records.plan import expected_epochs
from tuning.records.presets import setting
from tuning.records.settings import SweepSettings
from tuning.replaying.generated import Generated
from tuning.replaying.simulate import Simulated, play, simulate
from tuning.replaying.strategy import Plan, StudyStrategy
from tuning.study.journal import read_trials
from tuning.study.rules import Asha, Hyperband, TopK
from tuning.study.stopping import Check, EarlyStopping, best_of, make_stopping
from tuning.study.trials import TrialRecord

STEPS = Generated("distillation", 0)
EPOCHS = STEPS.base.epochs
SCHEDULERS = ["asha", "hyperband", "median", "top-k"]


# -- hyperband -----------------------------------------------------------------------------------


def test_brackets_have_the_shares_of_the_paper():
    """Table 1 of Li et al. 2018: R = 81, η = 3; there n is 81, 34, 15, 8 and 5."""
    rule = Hyperband((1, 3, 9, 27), 3)
    sizes = [81, 34, 15, 8, 5]
    assert rule.shares == pytest.approx([size / sum(sizes) for size in sizes])
    found = Counter(rule.bracket(number) for number in range(143))
    assert [found[bracket] for bracket in range(5)] == pytest.approx(sizes, abs=1.5)


def test_any_number_of_trials_has_the_shares():
    rule = Hyperband((3, 9), 3)
    assert rule.shares == pytest.approx([9 / 17, 5 / 17, 3 / 17])
    for count in (8, 16, 64, 1000):
        found = Counter(rule.bracket(number) for number in range(count))
        for bracket, share in enumerate(rule.shares):
            assert abs(found[bracket] - share * count) < 2


def test_a_trial_is_compared_within_its_bracket_alone():
    rule = Hyperband((1, 3, 9), 3)
    brackets = [[n for n in range(60) if rule.bracket(n) == b][:6] for b in range(4)]
    curves = {n: dict.fromkeys(range(1, 10), 90.0) for n in brackets[1]}
    first, *others = brackets[0]
    curves[first] = {1: 10.0}
    assert not rule.should_stop(first, 1, curves), "it is the first of its bracket"
    for number, value in zip(others, (20, 30, 40, 50, 60), strict=True):
        curves[number] = {1: float(value)}
        assert not rule.should_stop(number, 1, curves)
    assert rule.should_stop(first, 1, curves)
    own = {n: curve for n, curve in curves.items() if n in brackets[0]}
    assert Asha((1, 3, 9), 3).should_stop(first, 1, own)


def test_a_bracket_begins_at_its_own_rung_and_the_last_stops_nothing():
    rule = Hyperband((1, 3), 3)
    for bracket, rungs in enumerate([{1, 3}, {3}, set[int]()]):
        good, bad = [n for n in range(99) if rule.bracket(n) == bracket][:2]
        curves = {good: dict.fromkeys(range(1, 10), 90.0), bad: dict.fromkeys(range(1, 10), 1.0)}
        assert {e for e in range(1, 10) if rule.should_stop(bad, e, curves)} == rungs


def test_without_a_rung_there_is_one_bracket():
    rule = Hyperband((), 3)
    assert rule.shares == (1.0,)
    assert {rule.bracket(number) for number in range(9)} == {0}
    assert not rule.should_stop(1, 1, {1: {1: 0.0}, 2: {1: 9.0}})


# -- top-k ---------------------------------------------------------------------------------------


def test_top_k_keeps_the_k_best_of_all_that_came_so_far():
    rule = TopK(2, 3)
    curves = {number: {1: 0.0, 2: float(number)} for number in (1, 2, 3)}
    assert not any(rule.should_stop(number, 2, curves) for number in curves)
    curves[4] = {1: 0.0, 2: 2.5}
    assert not rule.should_stop(4, 1, {4: {1: 0.0}})
    assert not rule.should_stop(4, 2, curves)
    curves[1][3] = 99.0
    assert rule.should_stop(1, 3, curves), "three are better at the rung, whatever came later"
    curves[5] = {1: 0.0, 2: 2.0}
    assert rule.should_stop(5, 2, curves)


def test_of_two_equal_ones_the_earlier_is_better():
    rule = TopK(1, 2)
    curves = {number: {1: 50.0} for number in (1, 2, 3)}
    assert [rule.should_stop(number, 1, curves) for number in (1, 2, 3)] == [False, False, True]


def test_k_is_a_tenth_of_the_trials_and_at_least_three():
    assert [best_of(trials) for trials in (1, 16, 39, 40, 64, 500)] == [3, 3, 3, 4, 6, 50]
    stopping, stopped = make_stopping("top-k", 9, 1, trials=60), 0
    for number in range(1, 21):
        stopped += stopping.stops({"trial": number, "epoch": 1, "val_acc": 50.0 - number})
    assert stopped == 20 - best_of(60)


# -- in a search ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["hyperband", "top-k"])
def test_the_default_ends_and_stopped_ones_end_where_they_may(scheduler):
    plan = Plan(scheduler=scheduler, trials=64, slots=4, grace_period=3, reduction_factor=3)
    found = simulate(STEPS, plan, seed=1)
    assert found.records[0].state == "completed"
    stopped = [record for record in found.records if record.state == "stopped"]
    assert len(stopped) >= 20
    rule = Hyperband((3, 9), 3)
    for record in stopped:
        if scheduler == "top-k":
            assert record.epoch >= 3
        else:
            assert record.epoch in rule.rungs[rule.bracket(record.number) :]


def facts(records: list[TrialRecord]) -> list[tuple]:
    return [(r.number, r.config, r.state, r.curve, r.spared, r.reason) for r in records]


class BrokenOff:
    """A search whose process dies after so many reports, and goes on from its study."""

    def __init__(self, plan: Plan, seed: int, after: set[int]) -> None:
        self.plan, self.seed, self.after = plan, seed, after
        self.inner = StudyStrategy(STEPS, plan, seed)
        self.reports, self.running = 0, set[int]()

    def next(self) -> TrialRecord | None:
        record = self.inner.next()
        if record is not None:
            self.running.add(record.number)
        return record

    def told(self, report: dict[str, Any]) -> bool:
        leaves = self.inner.told(report)
        self.reports += 1
        self.running -= {report["trial"]} if leaves else set()
        if self.reports in self.after:
            self.inner = StudyStrategy(STEPS, self.plan, self.seed, self.inner)
            again = {self.inner.next().number for _ in self.running}  # type: ignore[union-attr]
            assert again == self.running
        return leaves


def searched(plan: Plan, seed: int, after: set[int]) -> tuple[Simulated, list[TrialRecord]]:
    strategy = BrokenOff(plan, seed, after)
    found = play(STEPS, strategy, slots=plan.slots, epochs_total=None, seed=seed)
    return found, read_trials(strategy.inner.searcher.study)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_search_that_is_broken_off_decides_as_the_unbroken_one(scheduler):
    plan = Plan(scheduler=scheduler, sampler="random", trials=40, slots=4, check_rungs=0.3)
    whole, broken = (searched(plan, 2, after)[1] for after in (set[int](), {7, 50, 51, 140}))
    assert facts(broken) == facts(whole)
    assert {record.state for record in whole} == {"completed", "stopped"}


# -- trials that run on --------------------------------------------------------------------------


def test_which_run_on_is_a_function_of_seed_and_number():
    check = Check(0.1, 7)
    spared = [number for number in range(3000) if check.spares(number)]
    assert len(spared) == pytest.approx(300, abs=60)
    assert spared == [number for number in range(3000) if Check(0.1, 7).spares(number)]
    assert spared != [number for number in range(3000) if Check(0.1, 8).spares(number)]
    assert not any(Check(0.0).spares(number) for number in range(999))
    assert all(Check(1.0).spares(number) for number in range(999))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_checking_changes_no_decision_about_the_others(scheduler):
    """Of configurations that are drawn by chance, in any number of slots that are told alike."""
    plan = Plan(scheduler=scheduler, sampler="random", trials=40, slots=40)
    without, records = (
        searched(plan, 3, set())[1],
        searched(replace(plan, check_rungs=0.4), 3, set())[1],
    )
    spared = [record for record in records if record.spared]
    assert len(spared) >= 5
    for before, after in zip(without, records, strict=True):
        if after.spared is None:
            assert facts([after]) == facts([before])
        else:
            assert before.state == "stopped"
            assert after.spared == before.epoch
            assert after.state == "completed"
            told = f"let run on though behind others after epoch {before.epoch}, to check that"
            assert after.reason == told


def test_one_that_is_spared_is_stopped_where_it_diverges_and_is_told_once():
    told: list[tuple[int, int]] = []
    stopping = EarlyStopping(Asha((1, 3), 3), Check(1.0), lambda *where: told.append(where))
    for number, value in ((1, 90.0), (2, 10.0)):
        for epoch in (1, 2, 3):
            assert not stopping.stops({"trial": number, "epoch": epoch, "val_acc": value})
    assert told == [(2, 1)]
    assert stopping.stops({"trial": 2, "epoch": 4, "val_acc": 0.0, "diverged": True})


def test_a_mark_that_came_before_its_epoch_leaves_the_others_decisions_as_they_were():
    """The process died between the two: the epoch is told again, and counts."""
    stopping = EarlyStopping(Asha((2,), 2), Check(1.0))
    stopping.replay(
        TrialRecord(number=number, config={}, curve=curve, spared=spared)
        for number, curve, spared in ((1, {1: 50.0, 2: 90.0}, None), (2, {1: 50.0}, 2))
    )
    whole = EarlyStopping(Asha((2,), 2), Check(0.0))
    for number, epoch, value in ((1, 2, 90.0), (2, 2, 10.0)):
        whole.stops({"trial": number, "epoch": epoch, "val_acc": value})
    assert not stopping.stops({"trial": 2, "epoch": 2, "val_acc": 10.0})
    told: list[int] = []
    stopping._check, stopping._spare = Check(0.0), lambda number, epoch: told.append(number)
    for number, value in ((3, 40.0), (4, 60.0), (5, 45.0)):
        report = {"trial": number, "epoch": 2, "val_acc": value}
        assert stopping.stops(report) == whole.stops(report)
    assert not told


# -- what is said before -------------------------------------------------------------------------


def settings(**changes: Any) -> SweepSettings:
    base = setting("laptop", "lsskd", epochs=27).base
    return SweepSettings(name="s", base=base, trials=64, grace_period=3, **changes)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "top-k"])
def test_the_epochs_that_are_expected_are_about_those_that_are_spent(scheduler, sampler):
    """Where configurations come by chance, and where a sampler that learns brings more."""
    expected, most = expected_epochs(settings(scheduler=scheduler, sampler=sampler))
    plan = Plan(scheduler=scheduler, sampler=sampler, trials=64, grace_period=3)
    spent = [simulate(STEPS, plan, seed).course.epochs for seed in range(4)]
    assert most == 64 * 27
    assert expected == pytest.approx(sum(spent) / len(spent), rel=0.2)


def test_checking_is_part_of_what_is_expected():
    without, most = expected_epochs(settings())
    checked, _ = expected_epochs(settings(check_rungs=0.5))
    # Which trials run on follows from the seed: of these nearly a third, not half.
    share = sum(Check(0.5, 0).spares(number) for number in range(1, 64)) / 63
    assert checked == pytest.approx(without + share * (most - without), rel=0.05)
    assert expected_epochs(settings(scheduler="none", check_rungs=0.5)) == (most, most)
