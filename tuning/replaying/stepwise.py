"""Generated curves over a `Bowl`: `distillation`, `cosine` and `flat`.

Of a landscape, T is the accuracy of its best place u* in percent, t ∈ (0, 1] the part of the
training that is done, and D the paper's default.

**The last epoch.** F(u) = (1 − fails(u))·(1 + (T − 1)·exp(−loss(u)/(T − 1))) + fails(u)·10 for
`distillation` and `cosine`, with a median loss M ~ U(5, 9) and T such that F(D) is N(70, 1): near
u* a loss in points, and never below the 1 % of a guess. For `flat`
F(u) = T − 0.4·(1 − exp(−loss(u)/M)): no two configurations differ by more than 0.4 points.

**The course, of steps** (`distillation`, `flat`). The learning rate falls at the milestones
m_1 < … < m_K of the method's recipe (0.625 and 0.875), with m_0 = 0 and m_{K+1} = 1. In the phase
from m_k to m_{k+1} the accuracy goes from L_k to L_{k+1} as L_k + (L_{k+1} − L_k)·r(t − m_k),
r(s) = (1 − exp(−s/τ_k))/(1 − exp(−(m_{k+1} − m_k)/τ_k)); L_0 = 1 (a guess), L_{K+1} = F and, in
between, L_{k+1} = F·(1 − g_k), g_0 = 0.24 + 0.06·c(e_0(u)), g_k = 0.25·g_{k−1}·exp(0.5·c(e_k(u))).
e_k are smooth functions that know nothing of F, and c(x) is x within [−2, 2]: so a configuration
that leads before a decay of the learning rate need not lead after it. τ_0 = 0.06·exp(0.4·c(e(u))),
with one more smooth function e, and τ_k = 0.02.

**The course, of a cosine** (`cosine`). 1 + (F − 1)·h(t)^x(u), x = exp(0.05·c(e(u))) and
h(t) = (1 − exp(−t/0.1))/(1 − exp(−10))·(0.72 + 0.28·(1 − cos πt)/2): without noise, the order of
an early epoch is almost the last one's.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import numpy as np

from tuning.replaying.landscapes import Bowl, Smooth
from tuning.study.cube import Cube, FloatArray

GUESS = 1.0
"""Accuracy in percent of guessing among the 100 classes of CIFAR-100."""
FAILED = 10.0
"""Accuracy in percent of a training that failed."""


@dataclass(frozen=True)
class OverBowl:
    """The mean curves of one landscape, by the equations above.

    `top` is T, `flat` M where the landscape is flat, `milestones` the decays of the learning
    rate, none for a cosine; `epochs` how many there are.
    """

    bowl: Bowl
    course: Smooth
    top: float
    flat: float
    milestones: tuple[float, ...]
    epochs: int

    @classmethod
    def draw(
        cls,
        kind: Literal["distillation", "cosine", "flat"],
        rng: np.random.Generator,
        cube: Cube,
        default: FloatArray,
        milestones: tuple[float, ...],
        epochs: int,
    ) -> Self:
        """One for a space whose default lies at `default`."""
        median = rng.uniform(5, 9)
        bowl = Bowl.draw(rng, cube, default, median)
        steps = () if kind == "cosine" else milestones
        course = Smooth(rng, cube, len(steps) + 1)
        flat = median if kind == "flat" else 0.0
        start = cls(bowl, course, 70.0, flat, steps, epochs)
        # T of 70 gives the default less: what it lacks is what T lies above.
        lacking = 70.0 - float(start.last(default[None])[0])
        return cls(bowl, course, rng.normal(70, 1) + lacking, flat, steps, epochs)

    @property
    def best(self) -> float:
        """The highest mean accuracy of the last epoch, in percent: that of u*."""
        return float(self.last(self.bowl.best[None])[0])

    def last(self, points: FloatArray) -> FloatArray:
        """Mean accuracies in percent of the last epoch, at places (n, d): shape (n,)."""
        loss = self.bowl.loss(points)
        if self.flat:
            shallow: FloatArray = self.top - 0.4 * (1 - np.exp(-loss / self.flat))
            return shallow
        above = self.top - GUESS
        fails = self.bowl.fails(points)
        deep: FloatArray = (1 - fails) * (GUESS + above * np.exp(-loss / above)) + fails * FAILED
        return deep

    def means(self, points: FloatArray) -> FloatArray:
        """Mean accuracies in percent of every epoch, at places (n, d): shape (n, epochs)."""
        done = np.arange(1, self.epochs + 1) / self.epochs
        last, course = self.last(points)[:, None], np.clip(self.course(points), -2, 2)
        if not self.milestones:
            rise = (1 - np.exp(-done / 0.1)) / (1 - np.exp(-10))
            rise = rise * (0.72 + 0.28 * (1 - np.cos(np.pi * done)) / 2)
            smooth: FloatArray = GUESS + (last - GUESS) * rise ** np.exp(0.05 * course)
            return smooth
        curves = np.empty((len(points), self.epochs))
        begin, below = np.full_like(last, GUESS), np.empty_like(last)
        for k, (start, stop) in enumerate(_phases(self.milestones)):
            here = (done > start) & (done <= stop)
            pace = 0.02 if k else 0.06 * np.exp(0.4 * course[:, [-1]])
            early = course[:, [k]] if k < len(self.milestones) else np.zeros_like(last)
            below = below * 0.25 * np.exp(0.5 * early) if k else 0.24 + 0.06 * early
            end = last if k == len(self.milestones) else last * (1 - below)
            rise = (1 - np.exp(-(done[here] - start) / pace)) / (1 - np.exp((start - stop) / pace))
            curves[:, here] = begin + (end - begin) * rise
            begin = end
        return curves


def _phases(milestones: tuple[float, ...]) -> list[tuple[float, float]]:
    return list(pairwise((0.0, *milestones, 1.0)))
