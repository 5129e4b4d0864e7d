"""Which candidates are better than the paper's default, decided while seeds are added.

Each candidate is compared with the default on the same seeds, by the safe t-test of Grünwald, de
Heide and Koolen (Safe Testing, JRSS B 2024): the likelihood ratio of the t statistic where the
differences are `EFFECT` of their standard deviations above 0, over where they are 0. It bets, as
it were, on the first and against the second, and where there is no difference no stake grows to
1/p times itself with more than probability p, *however often one looks* (Ville's inequality). So
one may look after every seed and add seeds as long as one likes, and the error stays what it was
said to be; a t-test at a level of its own for every look could not be gone on with. Several
candidates share the error (Bonferroni).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

from tuning.study.trials import REFERENCE

TOP, SEEDS = 3, 10
"""How many candidates compete on how many seeds at most, where nothing else is said."""
ERROR = 0.05
"""The probability, at most, that any candidate is called better than the default that is not."""
EFFECT = 1.25
"""The difference that the test looks for, in standard deviations of the paired differences."""
FIRST_LOOK = 3
"""Seeds after which a candidate may be dropped."""
HOPE = 2.5
"""How many standard errors above its mean the seeds to come are taken to be, at best."""
HOPELESS, DIVERGED = "it cannot win any more", "its training diverged"
BEATEN = "another one is better"
"""Why a candidate leaves the race."""


def evidence(differences: Sequence[float]) -> float:
    """The stake after these paired differences: their likelihood ratio, above 0.

    The t statistic of n differences depends on their mean over their root mean square alone, and
    its density is an integral over the unknown deviation, whose ratio is taken numerically.
    """
    n, squares = len(differences), sum(d * d for d in differences)
    if n < 2 or not squares:
        return 1.0
    ratio = sum(differences) / math.sqrt(n * squares)
    shift = EFFECT * math.sqrt(n)
    moved, still = _log_integral(n - 1, shift * ratio), _log_integral(n - 1, 0.0)
    return math.exp(min(moved - still - shift * shift / 2, 700.0))


def _log_integral(power: int, slope: float) -> float:
    """The logarithm of ∫ w^power exp(slope·w − w²/2) dw over w > 0."""
    # Whoever only lists what was found before decides nothing.
    import numpy as np

    mode = (slope + math.sqrt(slope * slope + 4 * power)) / 2
    w = np.linspace(max(mode - 12, 0.0) + 1e-9, mode + 12, 2401)
    logs = power * np.log(w) + slope * w - w * w / 2
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).sum()) * float(w[1] - w[0]))


def p_value(differences: Sequence[float], candidates: int = 1) -> float:
    """One-sided p of "no better", valid however often one looked and went on; 1 at most.

    `candidates` is how many were compared with the same default.
    """
    stakes = (evidence(differences[:n]) for n in range(2, len(differences) + 1))
    return min(1.0, candidates / max(stakes, default=1.0))


def fewest_seeds(candidates: int) -> int:
    """How many seeds are needed before any of so many candidates can be called better."""
    return next(n for n in range(2, 100) if p_value([1.0] * n, candidates) <= ERROR)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A candidate's place: `mean` is its difference from the default in points, over `seeds`.

    `p` is corrected for the number of candidates. `dropped` says why it left the race, "" where it
    did not.
    """

    mean: float
    p: float
    seeds: int
    dropped: str = ""

    @property
    def better(self) -> bool:
        """Whether it is better than the default."""
        return self.p <= ERROR


@dataclass(frozen=True, kw_only=True)
class Race:
    """How it stands: the candidates by number, and who trains on the next seed, if any does.

    `seeds` is how many seeds are decided upon. `racing` is empty once nothing is open.
    """

    standings: Mapping[int, Standing] = field(default_factory=dict)
    seeds: int = 0
    racing: tuple[int, ...] = ()

    @property
    def winner(self) -> int:
        """The best of those that are better than the default, else the default itself."""
        better = {number: s.mean for number, s in self.standings.items() if s.better}
        return max(better, key=lambda number: (better[number], -number), default=REFERENCE)


def race(
    candidates: Sequence[int], scores: Mapping[int, Sequence[float | None]], seeds: int
) -> Race:
    """How a race of at most so many `seeds` stands, seed by seed, from the scores alone.

    So it does not matter in which order trainings ended, nor what else was trained meanwhile.

    Args:
        candidates: the numbers that compete with the default.
        scores: val accuracies by number, one a seed, as far as they are known; None where
            training diverged, which drops a candidate; the default's never may.
        seeds: how many there are at most.
    """
    standings: dict[int, Standing] = {}
    stakes = dict.fromkeys(candidates, 1.0)
    inside, done = tuple(candidates), 0
    while done < seeds and (not done or any(not standings[n].better for n in inside)):
        needed = (REFERENCE, *inside)
        if any(len(scores.get(number, ())) <= done for number in needed):
            return Race(standings=standings, seeds=done, racing=needed)
        done += 1
        for number in inside:
            own, default = scores[number][:done], scores[REFERENCE][:done]
            if own[-1] is None:
                standings[number] = Standing(mean=-math.inf, p=1.0, seeds=done, dropped=DIVERGED)
                continue
            differences = [(a or 0.0) - (b or 0.0) for a, b in zip(own, default, strict=True)]
            # The most that the stake ever was: it may look better at one seed than at the next.
            stakes[number] = max(stakes[number], evidence(differences))
            p = min(1.0, len(candidates) / stakes[number])
            hopeless = p > ERROR and _is_hopeless(differences, len(candidates), seeds)
            why = HOPELESS if hopeless else ""
            mean = fmean(differences)
            standings[number] = Standing(mean=mean, p=p, seeds=done, dropped=why)
        inside = _drop_beaten(standings, inside)
    return Race(standings=standings, seeds=done)


def filled(raced: Race, scores: Mapping[int, Sequence[float | None]], seeds: int) -> Race:
    """A race that is over, gone on with until its winner and the default have so many `seeds`.

    Nothing is decided on these seeds, but that a winner which diverges on one is dropped, and the
    next best of those that are better takes its place. A race that is not over stays as it is.

    Args:
        raced: how it stands.
        scores: as of `race`, beyond where it was decided.
        seeds: how many the two are trained on at least.
    """
    while not raced.racing and raced.winner != REFERENCE:
        number, standing = raced.winner, raced.standings[raced.winner]
        if None not in scores[number][:seeds]:
            break
        left = replace(standing, mean=-math.inf, p=1.0, dropped=DIVERGED)
        raced = replace(raced, standings={**raced.standings, number: left})
    if raced.racing or seeds <= raced.seeds:
        return raced
    pair = dict.fromkeys((REFERENCE, raced.winner))
    if missing := tuple(n for n in pair if len(scores.get(n, ())) < seeds):
        return replace(raced, racing=missing)
    standings = {n: replace(s, seeds=seeds) for n, s in raced.standings.items() if n in pair}
    return replace(raced, standings={**raced.standings, **standings}, seeds=seeds)


def _is_hopeless(differences: Sequence[float], candidates: int, seeds: int) -> bool:
    """Whether it could not be called better even if the seeds to come went very well for it.

    They are taken to have a mean of `HOPE` standard errors above that of those before, and the
    same deviation. Dropping one never makes another look better, so it costs no error.
    """
    n = len(differences)
    if not FIRST_LOOK <= n < seeds:
        return False
    mean, deviation = fmean(differences), stdev(differences)
    hoped = mean + HOPE * deviation / math.sqrt(n) * (seeds - n) / seeds
    spread = [deviation * math.sqrt((seeds - 1) / seeds)] * seeds
    likely = [hoped + (s if i % 2 else -s) for i, s in enumerate(spread)]
    return candidates / evidence(likely) > ERROR


def _drop_beaten(standings: dict[int, Standing], inside: Sequence[int]) -> tuple[int, ...]:
    """Those that stay: the better ones, and those that could be handed out in their place.

    The better ones are trained on as long as the others are, so that all have the same seeds.
    """
    best = max((s.mean for s in standings.values() if s.better), default=-math.inf)
    for number in inside:
        standing = standings[number]
        if not standing.better and not standing.dropped and standing.mean <= best:
            standings[number] = replace(standing, dropped=BEATEN)
    return tuple(number for number in inside if not standings[number].dropped)
