"""Steps: every value of a grid is the one that a person would write, and none lies beside it."""

import random
from decimal import Decimal

import optuna
import pytest

from kd.config import TrainConfig
from search_spaces import Choice, Range, load_space
from tuning.study.drawing import suggest
from tuning.study.sampling import sampler

BASE = TrainConfig.paper("lsskd", "resnet8", "digits")
GRIDS = [
    ("alpha", {"low": 0.1, "high": 0.9, "step": 0.1}, float),
    ("temperature", {"low": 1, "high": 10, "step": 0.5}, float),
    ("weight_decay", {"low": "1e-5", "high": "1e-3", "step": "1e-5"}, float),
    ("batch_size", {"low": 16, "high": 256, "step": 16}, int),
    ("lr", {"low": 0.005, "high": 0.105, "step": 0.005}, float),
]


def grid(spec: dict) -> list[float]:
    low, high, step = (Decimal(str(float(spec[key]))) for key in ("low", "high", "step"))
    return [float(low + n * step) for n in range(int((high - low) / step) + 1)]


@pytest.mark.parametrize(("name", "spec", "kind"), GRIDS)
def test_what_is_drawn_lies_on_the_grid(name, spec, kind):
    space = load_space("lsskd", "resnet8", ranges={name: spec})
    (full,) = [n for n, domain in space.domains.items() if getattr(domain, "step", None)]
    study = optuna.create_study(direction="maximize")
    seen = set()
    for number in range(60):
        study.sampler = sampler(0, number, 60)
        trial = study.ask()
        values = space.draw(lambda n, d, trial=trial: suggest(trial, n, d))
        value = space.apply(BASE, values).flat()[full]
        assert value in grid(spec)
        assert type(value) is kind
        trial.report(-abs(value), 1)
        study.tell(trial, -abs(value))
        seen.add(value)
    assert len(seen) > 4


@pytest.mark.parametrize(("name", "spec", "kind"), GRIDS)
def test_the_nearest_is_the_nearest_grid_point(name, spec, kind):
    space = load_space("lsskd", "resnet8", ranges={name: spec})
    (domain,) = [d for d in space.domains.values() if getattr(d, "step", None)]
    assert isinstance(domain, Range)
    points, draw = grid(spec), random.Random(0)
    for _ in range(200):
        value = draw.uniform(points[0] - 1, points[-1] + 1)
        found = domain.nearest(value)
        assert found in points
        assert abs(found - value) <= min(abs(p - value) for p in points) + 1e-12
    assert all(domain.nearest(point) == point for point in points)


def test_of_numbers_that_are_listed_the_nearest_is_taken_and_of_words_the_first():
    assert Choice((0.1, 3, "auto", 5.0)).nearest(4.5) == 5.0
    assert Choice((1, 8, 4)).nearest(6) == 8, "the first of two that are as near"
    assert Choice((False, 2)).nearest(0.2) == 2, "false is no number"
    assert Choice(("linear", "constant")).nearest("cosine") == "linear"


def test_the_papers_default_moves_to_the_nearest_step_and_that_is_known():
    ranges = {"alpha": {"low": 0.15, "high": 0.95, "step": 0.2}}
    space = load_space("lsskd", "resnet8", ranges=ranges)
    assert BASE.kd.alpha == 0.8
    assert space.clipped(BASE) == ["kd.alpha"]
    assert space.apply(BASE, space.default_values(BASE)).kd.alpha == 0.75


def test_a_floor_with_steps_ends_on_one_below_the_ceiling():
    ranges = {"beta_min": {"low": 0, "high": 0.8, "step": 0.1}}
    space = load_space("dtskd", "resnet8", fixed={"beta_max": "0.55"}, ranges=ranges)
    assert space.domains["kd.beta_min"].corners() == (0, 0.5)


def test_a_methods_own_steps_need_not_meet_the_end():
    domain = Range(low=0.05, high=1.0, step=0.1)
    assert domain.corners() == (0.05, 0.95)
    assert str(domain) == "0.05 … 0.95 in steps of 0.1"
    assert Range(low=16, high=256, step=16, integer=True).nearest(100) == 96
