"""Paired differences of methods: the test, Holm's correction, and the error of both together."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import beta, ttest_rel

from tuning.study.pairs import FEWEST, LEVEL, Paired, holm, paired
from tuning.study.race import race


def test_it_is_the_paired_t_test_with_its_interval() -> None:
    rng = np.random.default_rng(1)
    for n in (2, 5, 10):
        one, other = rng.normal(70, 2, n), rng.normal(71, 1, n)
        known = ttest_rel(one, other)
        found = paired(list(one - other))
        assert found.raw == found.p == pytest.approx(known.pvalue)
        assert (found.low, found.high) == pytest.approx(known.confidence_interval(0.95))
        assert (found.n, found.mean) == (n, pytest.approx(np.mean(one - other)))


def test_differences_that_are_all_the_same_prove_no_more_than_their_signs() -> None:
    assert paired([0.0] * 10).p == 1
    assert paired([0.5] * 2).p == 0.5
    # As 70.4 - 69.9 and 68.7 - 68.2 are in binary.
    assert paired([70.4 - 69.9, 68.7 - 68.2, 0.5, 0.5, 0.5]).p == 2**-4
    assert not paired([0.5] * 5).distinguishable
    assert paired([-0.5] * 10).distinguishable
    assert (paired([0.5] * 3).low, paired([0.5] * 3).high) == (0.5, 0.5)


def test_few_seeds_claim_nothing_whatever_the_test_says() -> None:
    sure = [3.0, 3.1, 2.9, 3.0, 3.05, 2.95]
    assert paired(sure[: FEWEST - 1]).p < 0.001
    assert not paired(sure[: FEWEST - 1]).distinguishable
    assert paired(sure[:FEWEST]).distinguishable


def test_holms_correction_is_the_published_one() -> None:
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
    rng = np.random.default_rng(2)
    for ps in rng.uniform(0, 0.3, (20, 4)):
        assert holm(list(ps)) == pytest.approx([closed(ps, i) for i in range(4)])


def closed(ps: np.ndarray, index: int) -> float:
    """By closed testing: the worst Bonferroni of all intersections that hypothesis is in."""
    others = [i for i in range(len(ps)) if i != index]
    families = [(index, *c) for size in range(4) for c in combinations(others, size)]
    return max(min(1.0, len(f) * min(ps[list(f)])) for f in families)


@pytest.mark.parametrize("noise", ["normal", "skewed"])
def test_a_false_help_is_rare_over_all_methods(noise: str) -> None:
    """1,000 comparisons of five methods with one baseline, of which none is better."""
    rng, times = np.random.default_rng(3), 1000
    shape = (times, 6, 10)
    draws = rng.normal(size=shape) if noise == "normal" else rng.exponential(size=shape)
    # What a seed brings to all methods alike is no evidence.
    scores = 70 + draws + rng.normal(0, 2, (times, 1, 10))
    found = [compared(one) for one in scores]
    for false in (sum(any(helps(p) for p in ps) for ps in found), _different(found)):
        assert upper(false, times) <= 0.065


def compared(scores: np.ndarray) -> list[Paired]:
    """The methods on the first one, each with its corrected p."""
    ones = [paired(list(own - scores[0])) for own in scores[1:]]
    corrected = holm([one.raw for one in ones])
    return [Paired(**{**vars(one), "p": p}) for one, p in zip(ones, corrected, strict=True)]


def helps(one: Paired) -> bool:
    return one.distinguishable and one.mean > 0


def _different(found: list[list[Paired]]) -> int:
    return sum(any(p.distinguishable for p in ps) for ps in found)


def upper(false: int, times: int) -> float:
    """Clopper and Pearson's upper limit."""
    return float(beta.ppf(0.95, false + 1, times - false))


def test_what_a_race_hands_out_on_the_same_seeds_makes_no_help() -> None:
    """The candidates of three methods race on val, and whoever wins is compared on test.

    Val and test accuracy of a student have half their variance in common, and nothing is better
    than anything.
    """
    rng, times, seeds = np.random.default_rng(4), 300, 10
    false = 0
    for _ in range(times):
        common = rng.normal(70, 2, seeds)
        tuned = []
        for _ in range(3):
            student = rng.normal(size=(3, seeds))
            val, test = (common + student + rng.normal(size=(3, seeds)) for _ in range(2))
            raced = race([1, 2], {n: list(row) for n, row in enumerate(val)}, seeds)
            tuned.append(test[raced.winner])
        false += any(map(helps, compared(np.array(tuned))))
    assert upper(false, times) <= 0.065


def test_a_difference_of_two_deviations_is_found_among_five() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(200, 6, 10))
    scores[:, 3] += 2 * np.sqrt(2)
    found = [compared(one) for one in scores]
    assert np.mean([helps(ps[2]) for ps in found]) > 0.9
    assert LEVEL == 0.05
