"""Whether scores that are paired by their seed differ: the paired t-test, and Holm's correction.

Pure functions of numbers; what is compared with what, and how it is said, is known elsewhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

LEVEL = 0.05
"""The probability, at most, that any of the methods compared is called different that is not."""
COVERAGE = 0.95
"""How often an interval covers the true mean difference."""
FEWEST = 5
"""On fewer seeds nothing is claimed, whatever the test says."""
_ROUNDING = 1e-9
"""Deviations below it are those of how numbers are written, in points of accuracy."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The mean of n paired differences, in points.

    `low` and `high` are the ends of its 95 % interval, not corrected for how many are compared.
    `raw` is the two-sided p of "no difference", and `p` the same, corrected.
    """

    n: int
    mean: float
    low: float
    high: float
    raw: float
    p: float

    @property
    def distinguishable(self) -> bool:
        """Whether there is a difference: on enough seeds, with an error of 5 % at most."""
        return self.n >= FEWEST and self.p <= LEVEL


def paired(differences: Sequence[float]) -> Paired:
    """The paired t-test of at least two differences, two-sided and not yet corrected.

    Where all differences are the same a t-test would be sure of anything, so the exact test of
    their signs is taken instead, and the interval is that one difference.
    """
    n, mean = len(differences), fmean(differences)
    deviation = stdev(differences)
    if deviation <= _ROUNDING:
        p = 1.0 if abs(mean) <= _ROUNDING else 2.0 ** (1 - n)
        return Paired(n=n, mean=mean, low=mean, high=mean, raw=p, p=p)
    # Whoever only lists what was found before need not wait for it.
    from scipy.stats import t

    error = deviation / math.sqrt(n)
    p = float(2 * t.sf(abs(mean) / error, n - 1))
    reach = float(t.ppf((1 + COVERAGE) / 2, n - 1)) * error
    return Paired(n=n, mean=mean, low=mean - reach, high=mean + reach, raw=p, p=p)


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values, corrected for how many they are (Holm 1979, Scand. J. Statist. 6), in order.

    One at or below a level is significant with that error over all of them together.
    """
    corrected, least = [0.0] * len(ps), 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        least = max(least, min(1.0, (len(ps) - place) * ps[index]))
        corrected[index] = least
    return corrected
