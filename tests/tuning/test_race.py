"""The race of a confirmation: its test, its errors over many looks, and its memory."""

import numpy as np
import pytest
from optuna import create_study
from scipy.integrate import quad
from scipy.stats import beta, nct
from scipy.stats import t as student_t

from kd.config import TrainConfig
from kd.errors import UserError
from tuning.study.listing import RaceSearcher
from tuning.study.race import (
    BEATEN,
    DIVERGED,
    EFFECT,
    ERROR,
    HOPELESS,
    Race,
    evidence,
    fewest_seeds,
    filled,
    p_value,
    race,
)

CONFIGS = {
    number: TrainConfig.paper("pskd", "resnet8", "digits", epochs=2, batch_size=8 + number)
    for number in (0, 4, 7)
}


def test_the_stake_is_the_ratio_of_the_densities_of_the_t_statistic() -> None:
    for differences in ([0.3, 1.2], [1.0, 2.0, 0.5, -0.2], list(np.arange(12.0) - 4)):
        n = len(differences)
        statistic = np.mean(differences) / (np.std(differences, ddof=1) / np.sqrt(n))
        ratio = nct.pdf(statistic, n - 1, EFFECT * np.sqrt(n)) / student_t.pdf(statistic, n - 1)
        assert evidence(differences) == pytest.approx(ratio, rel=1e-5)
    assert evidence([]) == evidence([3.0]) == evidence([0.0, 0.0]) == 1.0
    assert evidence([1e-300, 2e-300]) > 0
    assert np.isfinite(evidence([1.0] * 1000))


def test_no_stake_grows_on_average_where_there_is_no_difference() -> None:
    """A fair bet: the mean of the likelihood ratio is 1, whatever the number of seeds."""
    for n in (2, 5):
        mean, _ = quad(
            lambda x, n=n: student_t.pdf(x, n - 1) * evidence(_with_statistic(x, n)), -200, 200,
            limit=400, points=[0, 2, 5],
        )  # fmt: skip
        assert mean == pytest.approx(1, abs=0.03)


def _with_statistic(x: float, n: int) -> list[float]:
    """n differences whose t statistic is x."""
    pattern = np.array([1.0, -1.0] * (n // 2) + [0.0] * (n % 2))
    pattern /= np.std(pattern, ddof=1)
    return list(pattern + x / np.sqrt(n))


@pytest.mark.parametrize("noise", ["normal", "heavy", "skewed"])
def test_a_false_better_is_rare_over_all_looks_and_candidates(noise: str) -> None:
    """1,000 sweeps of three candidates of which none is better, and each may go on to 20 seeds."""
    rng = np.random.default_rng(11)
    sweeps = 1000
    false = sum(raced(rng, (0.0, 0.0, -0.3), noise, 20).winner != 0 for _ in range(sweeps))
    # Clopper and Pearson's upper limit.
    assert beta.ppf(0.95, false + 1, sweeps - false) <= 0.065


def test_a_gain_of_one_and_a_half_deviations_is_found_within_ten_seeds() -> None:
    rng = np.random.default_rng(12)
    found = [raced(rng, (1.5, 0.0, 0.0), "normal", 10) for _ in range(600)]
    assert np.mean([one.winner == 1 for one in found]) >= 0.8
    spent = np.mean([sum(s.seeds for s in one.standings.values()) + one.seeds for one in found])
    assert spent < 0.7 * 40, "racing spares trainings"
    small = [raced(rng, (0.8, 0.0, 0.0), "normal", 10).winner == 1 for _ in range(300)]
    assert 0.15 < np.mean(small) < 0.5, "as docs/confirming.md has it"


def test_on_five_seeds_a_large_gain_is_mostly_not_proved() -> None:
    rng = np.random.default_rng(13)
    for seeds, low, high in ((5, 0.0, 0.5), (10, 0.9, 1.0)):
        found = [raced(rng, (3.0, 0.0, 0.0), "normal", seeds).winner == 1 for _ in range(300)]
        assert low <= np.mean(found) <= high, seeds


def raced(rng: np.random.Generator, gains: tuple[float, ...], noise: str, seeds: int) -> Race:
    """A race to its end of candidates with these gains, in deviations of the paired differences."""
    draw = {
        "normal": lambda: rng.normal(size=seeds),
        "heavy": lambda: rng.standard_t(3, seeds) / np.sqrt(3),
        "skewed": lambda: rng.exponential(size=seeds) - 1,
    }[noise]
    level = rng.normal(70, 3, seeds)
    scores = {n: list(level + gain + draw()) for n, gain in enumerate(gains, 1)}
    return race(range(1, len(gains) + 1), {0: list(level), **scores}, seeds)


def test_what_a_race_decides_depends_on_the_scores_alone() -> None:
    default = [80.0, 81.0, 79.5, 80.2, 80.9, 80.4, 79.9, 80.1]
    good = [a + d for a, d in zip(default, [3, 2.8, 3.3, 2.9, 3.1, 3.0, 2.7, 3.2], strict=True)]
    poor = [a - d for a, d in zip(default, [2, 2.5, 1.5, 2.2, 2.1, 2, 2, 2], strict=True)]
    whole = race([1, 2], {0: default, 1: good, 2: poor}, 8)
    assert whole.winner == 1
    assert whole.racing == ()
    assert whole.standings[2].dropped == HOPELESS
    assert whole.standings[2].seeds == 3
    assert whole.seeds == whole.standings[1].seeds < 8
    n = whole.seeds
    cut = {0: default[:n], 1: good[:n], 2: poor[:3]}
    assert race([1, 2], cut, 8) == whole, "what was trained beside it counts for nothing"
    begun = race([1, 2], {0: default[:2], 1: good[:2], 2: poor[:1]}, 8)
    assert (begun.seeds, begun.racing) == (1, (0, 1, 2))


def test_one_that_diverges_or_is_behind_a_better_one_leaves() -> None:
    default = [80.0, 80.5, 79.5, 80.2, 80.1, 80.3]
    good = [a + d for a, d in zip(default, [3, 2.9, 3.1, 3, 3.2, 2.8], strict=True)]
    fair = [a + d for a, d in zip(default, [4.5, 0.2, 3.5, 1.5, 3, 1], strict=True)]
    found = race([1, 2, 3], {0: default, 1: good, 2: fair, 3: [81.0, None]}, 9)
    assert found.winner == 1
    assert found.standings[2].dropped == BEATEN
    assert (found.standings[3].dropped, found.standings[3].seeds) == (DIVERGED, 2)
    nothing = race([1], {0: default, 1: default}, 6)
    assert (nothing.winner, nothing.racing) == (0, ())


def test_fewer_seeds_than_can_decide_anything_are_known() -> None:
    for candidates in (1, 3, 10):
        least = fewest_seeds(candidates)
        assert (
            p_value([1.0] * least, candidates) <= ERROR < p_value([1.0] * (least - 1), candidates)
        )


# -- the searcher -----------------------------------------------------------------------------


def play(searcher: RaceSearcher, score, slots: int = 2, most: int = 1000) -> int:
    """Train what it gives out on so many slots, the longest first to end; how many were trained."""
    running: list[int] = []
    trained = 0
    while trained < most:
        while len(running) < slots and (record := searcher.suggest()):
            running.append(record.number)
        if not running:
            break
        number = running.pop(0)
        trained += 1
        for epoch in (1, 2):
            report = {"trial": number, "epoch": epoch, "val_acc": score(searcher, number)}
            if not searcher.wants(number):
                break
            searcher.report(number, report)
        searcher.end(number, report)
    return trained


def by_pair(searcher: RaceSearcher, number: int) -> float:
    """Trial 4 is three points above the default, trial 7 two below."""
    candidate, place = searcher.pair(searcher.records[number])
    return 80 + {0: 0, 4: 3, 7: -2}[candidate] + 0.1 * ((7 * place + candidate) % 5)


@pytest.mark.parametrize("slots", [1, 2, 64])
def test_a_race_ends_as_soon_as_it_is_decided_whatever_the_slots(slots: int) -> None:
    searcher = RaceSearcher(create_study(direction="maximize"), CONFIGS, range(1, 11))
    trained = play(searcher, by_pair, slots)
    assert searcher.standing.winner == 4
    assert searcher.standing.racing == ()
    assert searcher.standing.standings[7].seeds == 3
    assert searcher.standing.seeds < 10
    if slots == 1:
        assert trained == 2 * searcher.standing.seeds + 3
    seeds = {r.config["seed"] for r in searcher.records.values()}
    assert seeds <= set(range(1, 11))


def test_a_race_goes_on_where_it_was_cut_off() -> None:
    study = create_study(direction="maximize")
    play(RaceSearcher(study, CONFIGS, range(1, 11)), by_pair, most=4)
    resumed = RaceSearcher(study, CONFIGS, range(1, 11))
    known = sum(r.state == "completed" for r in resumed.records.values())
    assert known == 4
    play(resumed, by_pair)
    whole = RaceSearcher(create_study(direction="maximize"), CONFIGS, range(1, 11))
    play(whole, by_pair)
    assert resumed.standing == whole.standing
    pairs = [resumed.pair(r) for r in resumed.records.values() if r.state == "completed"]
    assert len(set(pairs)) == len(pairs), "no training was done twice"


def test_one_that_was_dropped_comes_back_when_there_are_more_seeds() -> None:
    """With ten seeds its chances are gone after three; with forty they are not."""

    def slow(searcher: RaceSearcher, number: int) -> float:
        candidate, place = searcher.pair(searcher.records[number])
        return 80 + (candidate == 4) * (0.35 + [0.9, -0.9, 0.5, -0.5][place % 4]) - (candidate == 7)

    study = create_study(direction="maximize")
    few = RaceSearcher(study, CONFIGS, range(1, 8))
    play(few, slow, slots=4)
    assert few.standing.standings[4].dropped == HOPELESS
    more = RaceSearcher(study, CONFIGS, range(1, 61))
    assert 4 in more.standing.racing
    play(more, slow, slots=4)
    assert not any(r.state == "running" for r in more.records.values())
    assert more.standing.standings[4].seeds > few.standing.standings[4].seeds


def test_a_race_without_the_default_is_none() -> None:
    searcher = RaceSearcher(create_study(direction="maximize"), CONFIGS, range(1, 7))
    first = searcher.suggest()
    assert first
    assert searcher.pair(first) == (0, 0)
    searcher.end(first.number, {"failed": "no memory"})
    assert searcher.failed is first
    assert searcher.suggest() is None


def test_another_race_is_not_gone_on_with() -> None:
    study = create_study(direction="maximize")
    play(RaceSearcher(study, CONFIGS, range(1, 7)), by_pair)
    other = {0: CONFIGS[0], 5: TrainConfig.paper("pskd", "resnet8", "digits", epochs=2)}
    with pytest.raises(UserError, match="other configurations"):
        RaceSearcher(study, other, range(1, 7))


# -- gone on with until the two that are compared have all seeds ----------------------------------


def test_a_race_that_is_over_is_filled_and_decides_nothing_more() -> None:
    default = [80.0, 80.5, 79.5, 80.2, 80.1, 80.3, 79.0]
    good = [a + d for a, d in zip(default, [3, 2.9, 3.1, 3, 3.2, -9, -9], strict=True)]
    poor = [a - 2 - 0.1 * i for i, a in enumerate(default[:3])]
    over = race([1, 2], {0: default[:5], 1: good[:5], 2: poor}, 10)
    n = over.seeds
    assert (over.winner, over.racing) == (1, ())
    begun = filled(over, {0: default[:n], 1: good[:n], 2: poor}, 7)
    assert (begun.racing, begun.seeds) == ((0, 1), n)
    half = filled(over, {0: default, 1: good[:n], 2: poor}, 7)
    assert half.racing == (1,)
    whole = filled(over, {0: default, 1: good, 2: poor}, 7)
    assert (whole.racing, whole.seeds, whole.winner) == ((), 7, 1)
    assert whole.standings[1].seeds == 7
    assert whole.standings[2] == over.standings[2]
    assert filled(over, {0: default, 1: good, 2: poor}, n - 1) == over, "it has more already"
    racing = race([1, 2], {0: default[:1], 1: good[:1], 2: poor[:1]}, 10)
    assert filled(racing, {0: default, 1: good, 2: poor}, 7) == racing


def test_a_winner_that_diverges_later_leaves_its_place_to_the_next() -> None:
    default = [80.0, 80.5, 79.5, 80.2, 80.1]
    best, good = ([a + d + 0.1 * i for i, a in enumerate(default)] for d in (3.0, 2.0))
    over = race([1, 2], {0: default, 1: best, 2: good}, 10)
    assert over.winner == 1
    assert over.standings[2].dropped in ("", BEATEN)
    late = filled(over, {0: [*default, 80.0, 80.0], 1: [*best, None], 2: good}, 7)
    assert late.standings[1].dropped == DIVERGED
    assert late.winner == (2 if over.standings[2].better else 0)
    alone = race([1], {0: default, 1: best}, 10)
    left = filled(alone, {0: [*default, 80.0, 80.0], 1: [*best, None]}, 7)
    assert (left.winner, left.racing, left.seeds) == (0, (), 7)
    # With nobody to race it is the default that is trained on all seeds.
    assert filled(race([], {0: default[:1]}, 7), {0: default[:1]}, 5).racing == (0,)


@pytest.mark.parametrize("slots", [1, 3])
def test_the_searcher_fills_with_the_winner_and_the_default_alone(slots: int) -> None:
    study = create_study(direction="maximize")
    play(RaceSearcher(study, CONFIGS, range(1, 11), fill=10), by_pair, slots, most=9)
    searcher = RaceSearcher(study, CONFIGS, range(1, 11), fill=10)
    play(searcher, by_pair, slots)
    done = [searcher.pair(r) for r in searcher.records.values() if r.state == "completed"]
    assert len(done) == len(set(done)), "no training was done twice"
    by_candidate = {n: sum(number == n for number, _ in done) for n in CONFIGS}
    assert (by_candidate[0], by_candidate[4]) == (10, 10)
    assert by_candidate[7] <= 3 + slots
    assert (searcher.standing.winner, searcher.standing.seeds) == (4, 10)
    whole = RaceSearcher(create_study(direction="maximize"), CONFIGS, range(1, 11))
    play(whole, by_pair)
    assert whole.standing.winner == searcher.standing.winner


def test_the_searcher_fills_the_default_where_nobody_competes() -> None:
    searcher = RaceSearcher(
        create_study(direction="maximize"), {0: CONFIGS[0]}, range(1, 5), fill=4
    )
    assert play(searcher, by_pair) == 4
    assert (searcher.standing.winner, searcher.standing.seeds) == (0, 4)
