"""Landscapes of related cells, and searches over them that begin cold and warm."""

import math

import numpy as np
import pytest

from tuning.replaying.generated import Generated
from tuning.replaying.related import Beside, again, beside, related
from tuning.replaying.simulate import Course, Moment
from tuning.replaying.stepwise import OverBowl
from tuning.replaying.strategy import Plan

PLAN = Plan(trials=16)


def place(landscape: Generated) -> np.ndarray:
    assert isinstance(landscape.landscape, OverBowl)
    return landscape.landscape.bowl.best


def test_the_best_place_is_as_near_as_is_asked_and_the_rest_is_its_own() -> None:
    new = Generated("distillation", 1, 9)
    away = {}
    for sigma in (0.0, 0.1, 0.3, math.inf):
        others = [related(new, seed, sigma) for seed in (100, 101, 102, 103)]
        away[sigma] = np.mean([np.abs(place(other) - place(new)).mean() for other in others])
        assert [other.seed for other in others] == [100, 101, 102, 103]
        choice = new.cube.is_choice
        if math.isfinite(sigma):
            assert all((place(o)[choice] == place(new)[choice]).all() for o in others)
    assert away[0.0] == 0.0
    assert 0.0 < away[0.1] < away[0.3] < away[math.inf]
    same = related(new, 100, 0.0)
    assert (same.curve(new.base, 0) != new.curve(new.base, 0)).any(), "another course and noise"


@pytest.mark.parametrize("told", [False, True])
def test_both_searches_are_functions_of_the_seed_and_the_cold_one_knows_nothing(told: bool) -> None:
    def pair() -> Beside:
        if told:
            return again("distillation", 27, PLAN, 3)
        return beside("distillation", 27, PLAN, 0.0, 3)

    one, two = pair(), pair()
    assert one == two
    assert one.cold.start.regret == one.warm.start.regret
    assert one.cold == beside("distillation", 27, PLAN, math.inf, 3).cold
    assert one.warm != one.cold


def course(*regrets: float) -> Course:
    moments = [
        Moment(trial=n - 1, epochs=9 * n, seconds=9.0 * n, handed=0, truth=0.0, regret=regret)
        for n, regret in enumerate(regrets)
    ]
    return Course(start=moments[0], moments=moments[1:], epochs=9 * len(moments[1:]), seconds=1.0)


def test_what_is_never_reached_counts_with_all_that_was_spent() -> None:
    cold = course(3.0, 3.0, 2.0)
    assert Beside(seed=0, cold=cold, warm=course(3.0, 1.0, 1.0)).epochs == (18, 9)
    assert Beside(seed=0, cold=cold, warm=course(3.0, 1.0, 2.5)).epochs == (18, 18)
    assert Beside(seed=0, cold=cold, warm=course(3.0, 1.0, 2.5)).difference == 0.5
