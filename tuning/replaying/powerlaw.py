"""Generated curves of random shapes: `powerlaw`.

In the manner of the prior that FT-PFN, ifBO's surrogate, is trained on (Rakotoarison et al. 2024,
arXiv:2404.16795; `ftpfn_prior.py` in its code), with a random smooth function in place of their
random network: it gives every configuration u 22 numbers z_i(u), each of mean 0 and deviation 1
over the space, and p_i = Φ(z_i). With t the part of the training that is done, a curve is

    y(t) = Y∞ − (Y∞ − Y0)·Σ_k w_k·f_k(x_k(t)),    k of four basis functions

    power law              f(x) = (1 + (C^{1/α} − 1)·x/s)^{−α},            α = exp(1 + z)
    exponential            f(x) = C^{−(x/s)^α},                            α = exp(z)
    logarithmic power      f(x) = ln α / ln(α + (α^C − α)·x/s),            α = 1 + exp(z − 4)
    Hill                   f(x) = 1 / (1 + (C − 1)·(x/s)^α),               α = exp(0.5 + z/2)

each saturating at s: there a share 1/C of the way is left, C = 10^{1 + 2(1−p)}. All s are at most
0.3·10^{z/2}, in proportion to −ln p, and w_k = −ln p / Σ(−ln p). Behind s the curve goes on slower,
or back: x(t) = t up to s, and s + (1 + ln(p)/2)·(t − s) from there, never below 0. Theirs spread
wider: C = 10^{3(1−p)}, s of 10^z, and 1 + ln p behind it.

Where their levels are those of any task, these are of CIFAR-100: Y0 = 1, the accuracy of a guess,
and Y∞ = 1 + 75·exp(−6·(−ln p)/75), about 6·(−ln p) points below 76; then y − Y0 is multiplied so
that the paper's default ends at N(70, 1). The best accuracy of the space is the highest found in
8192 random places and in 40 rounds of 256 steps, N(0, 0.2·0.85^round), from the best so far.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from tuning.replaying.landscapes import Smooth
from tuning.study.cube import Cube, FloatArray

GUESS = 1.0
TOP = 76.0
DEPTH = 6.0
"""Points below the top of a configuration with p = 1/e."""
NUMBERS = 22
LEFT, RIGHT = 1e-9, 1 - 1e-9
"""Between which every p lies, so that its logarithms are finite."""


@dataclass(frozen=True)
class PowerLaw:
    """The mean curves of one landscape, by the equations above; `scale` multiplies y − Y0."""

    numbers: Smooth
    cube: Cube
    seed: int
    scale: float
    epochs: int

    @classmethod
    def draw(cls, rng: np.random.Generator, cube: Cube, default: FloatArray, epochs: int) -> Self:
        """One for a space whose default lies at `default`."""
        numbers = Smooth(rng, cube, NUMBERS)
        drawn = cls(numbers, cube, int(rng.integers(2**32)), 1.0, epochs)
        level = rng.normal(70, 1)
        return replace(drawn, scale=(level - GUESS) / (float(drawn.last(default[None])[0]) - GUESS))

    @cached_property
    def best(self) -> float:
        """The highest mean accuracy of the last epoch, in percent, as far as it is found."""
        rng = np.random.default_rng(self.seed)
        points = self.cube.draw(rng, 8192)
        scores = self.last(points)
        place, score = points[scores.argmax()], float(scores.max())
        for number in range(40):
            steps = rng.normal(0, 0.2 * 0.85**number, (256, len(self.cube)))
            steps[:, self.cube.is_choice] = 0
            near = np.clip(place + steps, 0, 1)
            scores = self.last(near)
            if scores.max() > score:
                place, score = near[scores.argmax()], float(scores.max())
        return score

    def last(self, points: FloatArray) -> FloatArray:
        """Mean accuracies in percent of the last epoch, at places (n, d): shape (n,)."""
        found: FloatArray = self._at(points, np.ones(1))[:, 0]
        return found

    def means(self, points: FloatArray) -> FloatArray:
        """Mean accuracies in percent of every epoch, at places (n, d): shape (n, epochs)."""
        return self._at(points, np.arange(1, self.epochs + 1) / self.epochs)

    def _at(self, points: FloatArray, done: FloatArray) -> FloatArray:
        from scipy.special import ndtr

        normal = np.clip(self.numbers(points), -4, 4)
        logs = -np.log(np.clip(ndtr(normal), LEFT, RIGHT))
        depth = TOP - GUESS
        height = depth * np.exp(-DEPTH * logs[:, 0] / depth)
        weights = logs[:, 1:5] / logs[:, 1:5].sum(1, keepdims=True)
        ends = 0.3 * 10 ** (normal[:, [9]] / 2)
        ends = ends * logs[:, 10:14] / logs[:, 10:14].max(1, keepdims=True)
        # (n, 4, 1) against the epochs.
        ends, weights = np.maximum(ends, 1e-4)[:, :, None], weights[:, :, None]
        left = 10 ** (1 + 2 * (1 - np.exp(-logs[:, 14:18])))[:, :, None]
        behind = (1 - logs[:, 18:22] / 2)[:, :, None]
        way = np.where(done <= ends, done, np.maximum(ends + behind * (done - ends), 0)) / ends
        falls = (weights * _basis(way, left, normal[:, 5:9, None])).sum(1)
        found: FloatArray = GUESS + self.scale * height[:, None] * (1 - falls)
        return found


def _basis(way: FloatArray, left: FloatArray, normal: FloatArray) -> FloatArray:
    """What is left of the way up, by the four functions: shapes (n, 4, epochs); `left` is C."""
    power, exponential, logarithmic, hill = (way[:, [k]] for k in range(4))
    c = [left[:, [k]] for k in range(4)]
    z = [normal[:, [k]] for k in range(4)]
    alpha = np.exp(1 + z[0])
    base = 1 + np.exp(z[2] - 4)
    parts = (
        (1 + (c[0] ** (1 / alpha) - 1) * power) ** -alpha,
        c[1] ** -(exponential ** np.exp(z[1])),
        np.log(base) / np.log(base + (base ** c[2] - base) * logarithmic),
        1 / (1 + (c[3] - 1) * hill ** np.exp(0.5 + z[3] / 2)),
    )
    return np.concatenate(parts, axis=1)
