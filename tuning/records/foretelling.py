"""How well early epochs told the last one's order, in a sweep some of whose trials ran on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tuning.records.result import SweepResult
from tuning.study.rules import rungs
from tuning.study.trials import TrialRecord

FEWEST = 5
"""Trials from which on there is an interval, as its formula needs more than four."""
NORMAL = 1.959964
"""Half of the middle 95 % of a normal distribution, in standard deviations."""


@dataclass(frozen=True)
class Agreement:
    """Kendall's τ between the orders of `n` trials at `epoch` and at their last epoch.

    `low` and `high` bound its 95 % interval; None where there are too few trials for one.
    """

    epoch: int
    tau: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Foretelling:
    """What came of the trials that ran on though they would have been stopped.

    `spared` are those of them that completed, `others` all others that did; `agreements` has
    one for each rung at which there are two scores to compare.
    """

    agreements: Sequence[Agreement]
    spared: Sequence[TrialRecord]
    others: Sequence[TrialRecord]


def foretelling(result: SweepResult) -> Foretelling | None:
    """What is known of it; None for a sweep without such trials."""
    asked = result.sweep.settings
    done = result.of("completed")
    spared = [trial for trial in done if trial.spared]
    if not spared:
        return None
    last = asked.base.epochs
    curves = [trial.curve for trial in done]
    found = [
        agreement(rung, [(c[rung], c[last]) for c in curves if rung in c and last in c])
        for rung in rungs(last, asked.grace_period, asked.reduction_factor)
    ]
    others = [trial for trial in done if not trial.spared]
    return Foretelling([one for one in found if one is not None], spared, others)


def agreement(epoch: int, pairs: Sequence[tuple[float, float]]) -> Agreement | None:
    """τ-b (Kendall 1945, which allows for ties) of pairs (at `epoch`, at the last one).

    None where all are equal in either. The interval is Fisher's transformation with variance
    0.437/(n − 4) (Fieller, Hartley and Pearson 1957; Bonett and Wright 2000). Where no pair
    disagrees it is that of one that does, up to 1: nothing is certain by a few trials.
    """
    from scipy.stats import kendalltau

    n = len(pairs)
    tau = float(kendalltau(*zip(*pairs, strict=True)).statistic) if n > 1 else math.nan
    if math.isnan(tau):
        return None
    if n < FEWEST:
        return Agreement(epoch, tau, None, None, n)
    pair = 4 / (n * (n - 1))
    most = 1 - pair
    center = math.atanh(min(max(tau, -most), most))
    half = NORMAL * math.sqrt(0.437 / (n - 4))
    low = -1.0 if tau < pair / 2 - 1 else math.tanh(center - half)
    high = 1.0 if tau > 1 - pair / 2 else math.tanh(center + half)
    return Agreement(epoch, tau, low, high, n)
