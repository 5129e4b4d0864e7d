"""Generated curves: what their docstrings say of them."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import spearmanr

from kd.config import TrainConfig
from kd.errors import UserError
from tuning.replaying.generated import KINDS, Generated
from tuning.replaying.landscapes import Smooth
from tuning.replaying.repeats import Drawn
from tuning.study.cube import Cube

MANY = {"distillation": 50, "cosine": 50, "flat": 50, "powerlaw": 6}
"""Landscapes that a test looks at; a `powerlaw` takes longest."""


@cache
def landscapes(kind: str) -> list[Generated]:
    return [Generated(kind, seed) for seed in range(MANY[kind])]


@cache
def places(kind: str) -> np.ndarray:
    """Random configurations of the kind's space, other ones than a landscape is judged by."""
    return landscapes(kind)[0].cube.draw(np.random.default_rng(99), 2000)


def configurations(source: Generated, count: int) -> list[TrainConfig]:
    """The paper's default, and others that a sampler may draw."""
    rng, found = np.random.default_rng(5), [source.base]
    for _ in range(count - 1):
        values = {
            name: domain.values[rng.integers(len(domain.values))]
            if hasattr(domain, "values")
            else float(np.exp(rng.uniform(np.log(domain.low), np.log(domain.high))))
            if domain.log
            else rng.uniform(domain.low, domain.high)
            for name, domain in source.space.parameters()
        }
        found.append(source.space.apply(source.base, values))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_curve_is_a_function_of_seeds_and_configuration(kind):
    one, same, other = (Generated(kind, seed, 9) for seed in (3, 3, 4))
    config = configurations(one, 2)[1]
    curve = one.curve(config, 7)
    assert curve.shape == (9,)
    assert ((curve >= 0) & (curve <= 100)).all()
    assert np.array_equal(curve, same.curve(config, 7))
    assert not np.array_equal(curve, one.curve(config, 8))
    assert not np.array_equal(curve, other.curve(config, 7))
    assert not np.array_equal(curve, one.curve(one.base, 7))
    assert one.truth(config) == same.truth(config) != other.truth(config)


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_is_what_curves_come_to_over_seeds(kind):
    source = landscapes(kind)[0]
    for config in configurations(source, 3):
        last = [source.curve(config, seed)[-1] for seed in range(1000)]
        away = abs(np.mean(last) - source.truth(config))
        assert away < 4 * np.std(last) / len(last) ** 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_scores_deviate_as_is_said(kind):
    source = landscapes(kind)[0]
    last = [source.curve(source.base, seed)[-1] for seed in range(1500)]
    share, what = source.truth(source.base) / 100, KINDS[kind]
    binomial = 100 * (share * (1 - share) / what.val_size) ** 0.5
    # Two decays of the learning rate come before the last epoch of lsskd and of dtskd.
    calm = what.epoch_sd * what.calmer**2
    assert np.std(last) == pytest.approx(np.hypot(np.hypot(what.seed_sd, calm), binomial), rel=0.08)
    assert 0.2 <= what.seed_sd <= 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_papers_default_lies_in_the_best_third(kind):
    better = [
        np.mean(source.landscape.last(places(kind)) > source.truth(source.base))
        for source in landscapes(kind)
    ]
    assert np.mean(np.array(better) <= 1 / 3) > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_is_the_best(kind):
    for source in landscapes(kind)[:10]:
        scores = source.landscape.last(places(kind))
        assert scores.max() <= source.best() + 1e-3
        # By nothing that a search could tell is it out of reach.
        top = places(kind)[scores.argmax()]
        near = np.clip(top + np.random.default_rng(1).normal(0, 0.1, (2000, len(top))), 0, 1)
        near[:, source.cube.is_choice] = top[source.cube.is_choice]
        found = source.landscape.last(near).max()
        assert source.best() - 1.5 < found <= source.best() + 1e-3


@pytest.mark.parametrize("kind", ["distillation", "powerlaw", "cosine"])
def test_accuracies_are_those_of_distillation_on_cifar_100(kind):
    levels = [source.truth(source.base) for source in landscapes(kind)]
    gaps = [source.best() - source.truth(source.base) for source in landscapes(kind)]
    scores = np.array([source.landscape.last(places(kind)) for source in landscapes(kind)])
    assert 69 < np.mean(levels) < 71
    assert min(gaps) >= 1
    assert max(gaps) <= 5
    assert 2 < np.mean(levels) - np.mean(np.median(scores, axis=1)) < 9
    fails = np.mean(scores < 30)
    assert 0.005 < fails < 0.1
    assert scores.min() > 0


def test_a_flat_landscape_has_nothing_to_find():
    for source in landscapes("flat"):
        scores = source.landscape.last(places("flat"))
        assert source.best() - scores.min() <= 0.4


def order(kind: str, epoch: int) -> float:
    """Mean rank correlation of an epoch and the last one, among the best third."""
    found = []
    for source in landscapes(kind)[:10]:
        curves = source.landscape.means(places(kind))
        best = curves[curves[:, -1] >= np.quantile(curves[:, -1], 2 / 3)]
        found.append(spearmanr(best[:, epoch - 1], best[:, -1])[0])
    return float(np.mean(found))


def test_early_epochs_tell_the_order_of_a_cosine_and_not_of_steps():
    assert order("cosine", 9) > 0.6
    assert order("distillation", 9) < 0.45
    assert order("flat", 9) < 0.2
    # After the last decay all is told.
    assert order("distillation", 26) > 0.9


def test_steps_rise_at_the_decays():
    source = landscapes("distillation")[0]
    curve = source.landscape.means(source.cube.point(source.base)[None])[0]
    rises = np.diff(curve)
    # Epochs 17 and 24 are the first that end after 0.625 and 0.875 of 27.
    assert rises[16 - 1] > 5 * rises[15 - 1]
    assert rises[24 - 2] > 5 * rises[23 - 2]
    assert curve[-1] == pytest.approx(source.truth(source.base))


def test_two_hyperparameters_interact_and_one_says_nothing():
    for source in landscapes("distillation")[:10]:
        matrix = source.landscape.bowl.matrix
        (one, two), weights = np.argwhere(np.triu(matrix, 1))[0], np.diag(matrix)
        assert abs(matrix[one, two]) == pytest.approx(0.7 * (weights[one] * weights[two]) ** 0.5)
        assert np.sum(weights == 0.02) == 1
        assert np.linalg.eigvalsh(matrix).min() > 0


def test_a_cube_has_a_place_for_every_configuration():
    source = landscapes("powerlaw")[0]
    for config in configurations(source, 20):
        point = source.cube.point(config)
        assert ((point >= 0) & (point <= 1)).all()
        names = [name for name, _ in source.space.parameters()]
        values = source.space.default_values(config)
        share = dict(zip(names, point, strict=True))
        assert share["kd.beta_max.span"] == pytest.approx(values["kd.beta_max.span"], abs=1e-9)
        assert share["kd.temperature"] == pytest.approx(np.log10(values["kd.temperature"]))
    lsskd = landscapes("distillation")[0]
    assert lsskd.cube.is_choice.tolist() == [False, True, False, False, False]


def test_a_smooth_function_is_normal_over_the_cube():
    cube = Cube(landscapes("powerlaw")[0].space)
    rng = np.random.default_rng(0)
    values = Smooth(rng, cube, 5)(cube.draw(rng, 4000))
    assert values.shape == (4000, 5)
    assert np.allclose(values.mean(0), 0, atol=0.3)
    assert np.allclose(values.std(0), 1, atol=0.25)


def test_a_kind_that_there_is_not():
    with pytest.raises(UserError, match="no kind 'flt'; did you mean 'flat'"):
        Drawn("flt", 9)
