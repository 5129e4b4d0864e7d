"""The order of trials that were stopped at different epochs, and what is drawn from it."""

import itertools
import json

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from kd.config import TrainConfig
from search_spaces import load_space
from tuning.study.ranking import RankedTPE, ranking
from tuning.study.sampling import SAMPLERS
from tuning.study.searcher import StudySearcher

BASE = TrainConfig.paper("lsskd", "resnet8", "digits", epochs=9)


def test_two_are_compared_where_both_were_measured() -> None:
    first = {1: 10.0, 2: 12.0, 3: 14.0}
    stopped = {1: 20.0, 2: 25.0}
    early = {1: 30.0}
    # `first` went farthest and lost to both; `early` beat both in their one common epoch.
    assert ranking([first, stopped, early]) == [0.0, 0.5, 1.0]
    assert ranking([first, first, first]) == [0.5, 0.5, 0.5]
    assert ranking([first]) == [0.0]
    diverged = {1: 99.0, 2: 99.0, 3: 0.0}
    assert ranking([diverged, first, early])[0] == 0.0
    lacking = {3: 50.0}
    assert ranking([lacking, first, early]) == [0.75, 0.0, 0.75]


def test_of_complete_trials_it_is_the_order_of_their_scores() -> None:
    rng = np.random.default_rng(0)
    curves = [dict(enumerate(rng.random(5), 1)) for _ in range(30)]
    scores = [curve[5] for curve in curves]
    assert np.argsort(ranking(curves)).tolist() == np.argsort(scores).tolist()


def test_the_first_trials_are_random_and_a_resumed_search_draws_the_same() -> None:
    def drawn(cut: int) -> list[dict[str, object]]:
        study = optuna.create_study(direction="maximize")
        space, found = load_space("lsskd", "resnet8"), []
        for begin, end in itertools.pairwise((0, cut, 12)):
            searcher = StudySearcher(study, space, BASE, 12, seed=3)
            for _ in range(begin, end):
                record = searcher.suggest()
                assert record
                found.append(record.config["kd"])
                value = 50 - 10 * abs(record.config["kd"]["alpha"] - 0.5)
                for epoch in (1, 2):
                    searcher.report(record.number, {"epoch": epoch, "val_acc": value})
                searcher.end(record.number, {"epoch": 3, "val_acc": value})
        return found

    assert drawn(6) == drawn(9) == drawn(12)


def test_what_runs_beside_it_is_not_tried_again() -> None:
    """Sixteen that begin before the next has told anything are not all where the best is."""
    study = optuna.create_study(direction="maximize")
    for x in np.linspace(0, 1, 12):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        trial.report(float(-abs(trial.params["x"] - 0.3)), 1)
        study.tell(trial, float(-abs(trial.params["x"] - 0.3 + 0 * x)))
    places = []
    for number in range(16):
        study.sampler = RankedTPE(number, 4)
        trial = study.ask()
        places.append(trial.suggest_float("x", 0, 1))
    assert len(set(places)) == 16
    assert np.std(places) > 0.05
    assert sum(t.state == TrialState.RUNNING for t in study.trials) == 16


@pytest.mark.parametrize("stopped", [False, True])
def test_it_finds_a_better_place_than_chance(stopped: bool) -> None:
    """A quadratic of two, forty trials: the best of TPE's last twenty against random ones'."""
    better = 0
    for seed in range(12):
        tops = []
        for name in ("tpe", "random"):
            study = optuna.create_study(direction="maximize")
            space = load_space("lsskd", "resnet8")
            searcher = StudySearcher(study, space, BASE, 40, seed=seed, sampler=name)
            scores = []
            for number in range(40):
                record = searcher.suggest()
                assert record
                kd = record.config["kd"]
                value = 80 - 60 * (kd["alpha"] - 0.4) ** 2 - (kd["temperature"] - 5) ** 2
                epochs = 2 if stopped and number % 3 else 9
                for epoch in range(1, epochs + 1):
                    searcher.report(number, {"epoch": epoch, "val_acc": value - 9 + epoch})
                searcher.end(number, {"epoch": epochs, "val_acc": value})
                scores.append(value)
            tops.append(np.mean(sorted(scores[20:])[-5:]))
        better += tops[0] > tops[1]
    assert better >= 10


FIXED = {"beta_max": "0.9"}
STEPS = {
    "kd.lambda_b": [0.5, 1.0, 1.5],
    "kd.alpha": {"low": 0.1, "high": 0.5, "step": 0.2},
    "kd.beta_min": {"low": 0.1, "high": 0.5, "step": 0.1},
    "kd.temperature": [2, 4, 8],
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_draws_within_the_space_and_goes_on_as_if_unbroken(name: str) -> None:
    def drawn(cut: int) -> list[dict[str, object]]:
        study = optuna.create_study(direction="maximize")
        ranges = STEPS if name == "grid" else None
        space, found = load_space("dtskd", "resnet8", fixed=FIXED, ranges=ranges), []
        base = TrainConfig.paper("dtskd", "resnet8", "digits", epochs=9)
        for begin, end in itertools.pairwise((0, cut, 9)):
            searcher = StudySearcher(study, space, base, 9, seed=1, sampler=name)
            for _ in range(begin, end):
                record = searcher.suggest()
                assert record
                found.append(record.config)
                searcher.end(record.number, {"epoch": 9, "val_acc": 50.0 + record.number % 4})
        return found

    configs = drawn(5)
    assert drawn(9) == configs
    assert len({json.dumps(config) for config in configs}) == 9
