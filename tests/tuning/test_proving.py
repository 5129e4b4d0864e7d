"""A simulated search that is confirmed: who is handed out, by what is true and not by luck."""

from statistics import fmean

import numpy as np
import pytest

from search_spaces import Space
from tuning.replaying.generated import Generated
from tuning.replaying.proving import FIRST, prove
from tuning.study.race import SEEDS, TOP
from tuning.study.trials import REFERENCE, TrialRecord

SOURCE = Generated("powerlaw", 0, 9)
LARGE = 1000
"""Beyond the default's batch size."""


class Planted:
    """Configurations whose truth is planted; their scores vary by a tenth of a point."""

    name, space, base = "planted", Space({}), SOURCE.base

    def __init__(self, truths: dict[int, float]) -> None:
        self.truths = truths
        self.asked: list[int] = []

    def curve(self, config, seed):
        self.asked.append(seed)
        rng = np.random.default_rng((config.batch_size, seed))
        return np.full(config.epochs, self.truth(config)) + rng.normal(0, 0.1, config.epochs)

    def truth(self, config):
        return self.truths[0 if config == self.base else config.batch_size - LARGE]

    def best(self):
        return max(self.truths.values())

    def seconds(self, config):
        return 1.0


def found(scores: dict[int, float]) -> list[TrialRecord]:
    """Completed trials by number, by their batch size; 0 is the default."""
    records = []
    for number, score in scores.items():
        config = SOURCE.base.to_dict() | ({"batch_size": LARGE + number} if number else {})
        records.append(TrialRecord(number=number, config=config, curve={9: score}))
        records[-1].state = "completed"
    return records


def test_a_lucky_score_is_not_handed_out_where_another_is_truly_better():
    source = Planted({REFERENCE: 70.0, 1: 69.0, 2: 72.0, 3: 70.0})
    proved = prove(source, found({0: 70.0, 1: 75.0, 2: 71.9, 3: 71.0}), seed=3)
    assert (proved.trial, proved.regret) == (2, 0.0)
    assert 4 <= proved.trainings <= (TOP + 1) * SEEDS
    assert min(source.asked) == FIRST + 3
    assert len(set(source.asked)) == max(source.asked) // FIRST


@pytest.mark.parametrize("scores", [{0: 70.0}, {}])
def test_without_a_rival_the_default_is_handed_out_and_nothing_is_trained(scores):
    proved = prove(Planted({REFERENCE: 70.0, 1: 72.0}), found(scores), seed=0)
    assert (proved.trial, proved.regret, proved.trainings) == (REFERENCE, 2.0, 0)


def test_only_the_best_compete():
    source = Planted({REFERENCE: 70.0} | dict.fromkeys(range(1, 7), 71.0) | {7: 99.0})
    scores = {0: 70.0} | {n: 80.0 - n for n in range(1, 7)} | {7: 60.0}
    assert {prove(source, found(scores), seed).trial for seed in range(5)} <= {1, 2, 3}


def test_of_equals_it_seldom_calls_one_better():
    source = Planted(dict.fromkeys(range(4), 70.0))
    scores = dict.fromkeys(range(4), 70.0)
    called = [prove(source, found(scores), seed).trial != REFERENCE for seed in range(60)]
    assert fmean(called) < 0.15
