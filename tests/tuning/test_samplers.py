"""A grid that is searched to its end, CMA-ES that goes on, and what Optuna would say meanwhile."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import optuna
import pytest
from test_conditional import RANGES

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import Choice, Range, Space, load_space
from tuning.records.plan import within_space
from tuning.records.presets import setting
from tuning.records.settings import SweepSettings
from tuning.replaying.curves import FloatArray
from tuning.replaying.generated import Generated
from tuning.replaying.simulate import simulate
from tuning.replaying.strategy import Plan
from tuning.study.grid import ordered
from tuning.study.journal import load_study, open_study, read_trials
from tuning.study.objectives import chosen
from tuning.study.sampling import SAMPLERS, sampler
from tuning.study.searcher import StudySearcher
from tuning.study.warm import First, WarmStart

BASE = setting("laptop", "lsskd", epochs=2).base
GRID = RANGES | {
    "alpha": {"low": 0.1, "high": 0.9, "step": 0.2},
    "beta": [0.5, 1, 2],
    "gamma": {"choices": [0.1, 0.01], "when": {"alpha_schedule": "linear"}},
}
FIXED = {"temperature": "4"}
SPACE = load_space("lsskd", BASE.backbone, fixed=FIXED, ranges=GRID)
COMBINATIONS = 5 * 3 * (1 + 2)
"""α, β, and the constant schedule or the linear one with two γ."""


def score(config: dict[str, Any]) -> float:
    kd = config["kd"]
    return 80 - 30 * (kd["alpha"] - 0.4) ** 2 - (kd["beta"] - 1) ** 2 + kd["gamma"]


def play(searcher: StudySearcher, most: int = 1000) -> int:
    """Run at most so many trials to their ends; how many there were."""
    count = 0
    while count < most and (record := searcher.suggest()):
        report = {"epoch": 1, "val_acc": score(record.config) - 5}
        searcher.report(record.number, report)
        searcher.end(record.number, report | {"epoch": 2, "val_acc": score(record.config)})
        count += 1
    return count


def configs(study: optuna.Study) -> list[TrainConfig]:
    return [TrainConfig.from_dict(record.config) for record in read_trials(study)]


# -- grid ----------------------------------------------------------------------------------------


def test_a_grid_holds_every_combination_once_and_no_value_of_what_is_not_searched():
    points = SPACE.grid(1000)
    assert len(points) == len({str(point) for point in points}) == COMBINATIONS
    assert {point["kd.alpha"] for point in points} == {0.1, 0.3, 0.5, 0.7, 0.9}
    for point in points:
        assert ("kd.gamma" in point) == (point["kd.alpha_schedule"] == "linear")
    free = {(p["kd.alpha"], p["kd.beta"]) for p in points if "kd.gamma" not in p}
    assert free == set(product((0.1, 0.3, 0.5, 0.7, 0.9), (0.5, 1, 2)))


def test_the_default_is_first_and_not_there_twice():
    found = ordered(SPACE, BASE, 0)
    assert len(found) == COMBINATIONS
    assert found[0] == SPACE.default_values(BASE)
    assert found[0] not in found[1:]
    assert ordered(SPACE, BASE, 0) == found != ordered(SPACE, BASE, 1)
    assert sorted(map(str, ordered(SPACE, BASE, 1))) == sorted(map(str, found))


@pytest.mark.parametrize("asked", [7, COMBINATIONS, 500])
def test_a_search_ends_with_its_grid(asked):
    study = optuna.create_study(direction="maximize")
    searcher = StudySearcher(study, SPACE, BASE, asked, seed=3, sampler="grid")
    assert play(searcher) == min(asked, COMBINATIONS)
    found = configs(study)
    assert found[0] == SPACE.apply(BASE, SPACE.default_values(BASE))
    assert len(set(found)) == len(found)
    expected = [SPACE.apply(BASE, point) for point in ordered(SPACE, BASE, 3)]
    assert found == expected[:asked]


@pytest.mark.parametrize("name", ["grid", "cmaes", "qmc"])
def test_a_search_that_is_killed_goes_on_as_the_unbroken_one(name: str, tmp_path: Path) -> None:
    """Its journal is read anew, and a trial that ran is given out again and ends first."""

    def searched(path: Path, cuts: Sequence[int]) -> list[dict[str, Any]]:
        for begin, end in pairwise((0, *cuts, 40)):
            with open_study(path, "trial", create=True) as study:
                searcher = StudySearcher(study, SPACE, BASE, 40, seed=3, sampler=name)
                assert play(searcher, end - begin) == end - begin
                searcher.suggest()
        return [trial.params for trial in load_study(path, "trial").get_trials()]

    whole = searched(tmp_path / "whole.log", ())
    assert searched(tmp_path / "broken.log", (3, 17, 18)) == whole
    assert len(whole) == 40


@pytest.mark.parametrize(
    ("domain", "sentence"),
    [
        (Range(low=1, high=8), "kd.alpha is searched in 1 … 8 without a step, and a grid needs"),
        (Range(low=1, high=8, integer=True), "kd.alpha is searched in 1 … 8 without a step"),
        (Choice(tuple(range(1000))), "The grid has more than 999 configurations"),
    ],
)
def test_what_is_no_grid_is_refused(domain, sentence):
    with pytest.raises(UserError, match=sentence):
        Space({"kd.alpha": domain}).grid(999)


def test_a_range_that_starts_at_another_one_is_refused():
    ranges = {"alpha": [0.1, 0.2, 0.3], "beta_min": {"low": 0.0, "high": 0.8, "step": 0.1}}
    space = load_space("dtskd", "resnet8", ranges=ranges)
    with pytest.raises(UserError, match=r"kd.beta_max starts at kd.beta_min, .* fix it: --set kd"):
        space.grid(1000)


def test_values_are_those_that_a_person_would_write():
    assert Range(low=0.1, high=0.9, step=0.2).members() == (0.1, 0.3, 0.5, 0.7, 0.9)
    assert Range(low=8, high=32, step=8, integer=True).members() == (8, 16, 24, 32)
    assert Range(low=2.0, high=2.0).members() == (2.0,)
    assert Choice((True, 1, 1.0, "a", "a")).members() == (True, 1, "a")


@pytest.mark.parametrize(
    ("asked", "trials", "said"),
    [(None, COMBINATIONS, ""), (12, 12, ""), (64, COMBINATIONS, "ends after 45 trials, not 64")],
)
def test_a_sweep_has_the_trials_of_its_grid(asked, trials, said, capsys):
    settings = SweepSettings(
        name="s", base=BASE, trials=asked or 16, fixed=FIXED, ranges=GRID, sampler="grid"
    )
    assert within_space(settings, asked).trials == trials
    out = capsys.readouterr().out
    assert said in out
    assert bool(out) == bool(said)
    other = replace(settings, sampler="tpe", trials=500)
    assert within_space(other, 500).trials == COMBINATIONS
    continuum = replace(settings, sampler="tpe", trials=500, ranges={})
    assert within_space(continuum, 500) is continuum


@pytest.mark.parametrize("name", ["tpe", "cmaes", "random"])
def test_no_configuration_is_tried_twice(name):
    """Neither by a sampler that may draw one again, nor when the search goes on."""
    space = Space({name: SPACE.domains[name] for name in ("kd.alpha", "kd.beta")})
    study = optuna.create_study(direction="maximize")
    play(StudySearcher(study, space, BASE, 500, seed=3, sampler=name), 9)
    play(StudySearcher(study, space, BASE, 500, seed=3, sampler=name))
    assert len(configs(study)) == len(set(map(str, configs(study)))) == 5 * 3


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_seed_that_a_sweep_may_have_begins_a_search(name):
    """NumPy's and Optuna's own are of 32 bits."""
    drawn = []
    for seed in (2**32, 2**63 - 1):
        study = optuna.create_study(direction="maximize")
        searcher = StudySearcher(study, SPACE, BASE, 3, seed=seed, sampler=name)
        play(searcher)
        drawn.append(configs(study))
    assert all(len(each) == 3 for each in drawn)


def test_what_comes_first_from_elsewhere_is_not_drawn_again():
    """The same seed draws the same, where the sampler was not told of the earlier search."""
    space = load_space("lsskd", BASE.backbone)
    plan = {"seed": 3, "objectives": chosen(("ece",))}
    earlier = optuna.create_study(direction="maximize")
    play(StudySearcher(earlier, space, BASE, 4, **plan))
    warm = WarmStart(first=(First(values=earlier.trials[3].params, source="", about=""),))
    study = optuna.create_study(direction="maximize")
    play(StudySearcher(study, space, BASE, 4, warm=warm, **plan))
    assert study.trials[2].params == earlier.trials[2].params
    assert len({str(config) for config in configs(study)}) == 4


class Stepped:
    """Generated curves over the grid."""

    curves = Generated("distillation", 0)
    name, space = "stepped", SPACE

    def __init__(self) -> None:
        self.base = replace(self.curves.base, kd=BASE.kd)

    def curve(self, config: TrainConfig, seed: int) -> FloatArray:
        return self.curves.curve(config, seed)

    def truth(self, config: TrainConfig) -> float:
        return self.curves.truth(config)

    def best(self) -> float:
        points = self.space.grid(1000)
        return max(self.truth(self.space.apply(self.base, point)) for point in points)

    def seconds(self, config: TrainConfig) -> float:
        return 1.0


def test_a_grid_that_is_searched_to_its_end_finds_its_best():
    plan = Plan(sampler="grid", scheduler="none", trials=500, slots=4)
    found = simulate(Stepped(), plan, seed=0)
    assert len(found.records) == COMBINATIONS
    best = max(found.records, key=lambda record: record.score or 0.0)
    assert found.course.last.handed == best.number


# -- CMA-ES --------------------------------------------------------------------------------------


def test_cmaes_draws_numbers_together_and_comes_to_the_best_place():
    space = load_space("lsskd", BASE.backbone, fixed={"temperature": "4", "gamma": "0.1"})
    study = optuna.create_study(direction="maximize")
    searcher = StudySearcher(study, space, BASE, 120, seed=0, sampler="cmaes")
    assert play(searcher) == 120
    alphas = [config.kd.alpha for config in configs(study)]
    assert {config.kd.alpha_schedule for config in configs(study)} == {"linear", "constant"}

    def off(values: list[float]) -> float:
        return sum(abs(value - 0.4) for value in values) / len(values)

    assert off(alphas[-30:]) < off(alphas[:30]) / 2
    generations = [t.system_attrs.get("cma:generation") for t in study.get_trials()]
    assert max(g for g in generations if g is not None) > 10


def test_cmaes_goes_on_where_a_condition_does_not_hold():
    """Optuna's own leaves all to chance once a number is lacking that the first trial had."""
    ranges = {"gamma": {"low": 0.1, "high": 0.9, "when": {"alpha_schedule": "linear"}}}
    space = load_space("lsskd", BASE.backbone, ranges=ranges)
    study = optuna.create_study(direction="maximize")
    play(StudySearcher(study, space, BASE, 40, seed=0, sampler="cmaes"))
    last = [trial.system_attrs for trial in study.get_trials()[-10:]]
    assert all("cma:generation" in attributes for attributes in last)


# -- what Optuna says ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_sampler_speaks_to_the_person_who_searches(name, caplog):
    """Neither of its own age, nor of hyperparameters that some trials lack, nor of divergence."""
    optuna.logging.enable_propagation()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            study = optuna.create_study(direction="maximize")
            searcher = StudySearcher(study, SPACE, BASE, 16, seed=3, sampler=name)
            play(searcher, 14)
            record = searcher.suggest()
            assert record is not None
            nan = {"epoch": 1, "val_acc": float("nan"), "diverged": True}
            searcher.end(record.number, nan)
            play(searcher, 1)
    finally:
        optuna.logging.disable_propagation()
    said = [entry.message for entry in caplog.records if entry.levelname == "WARNING"]
    assert said == []


def test_other_warnings_of_optuna_are_heard():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        sampler(0, 3, 16, "qmc")
        optuna.samplers.QMCSampler(seed=1)
    assert [str(one.message)[:25] for one in heard] == ["QMCSampler is experimental"[:25]]
