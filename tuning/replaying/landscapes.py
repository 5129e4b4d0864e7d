"""Random functions on the unit cube, of which generated curves are made.

A `Smooth` function is drawn without any structure. A `Bowl` is what a training loses by its
hyperparameters; its lowest point is known, so that the regret of a search is exact.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from tuning.study.cube import Cube, FloatArray

FEATURES = 48
"""Cosines in a smooth function."""
SAMPLE = 1024
"""Random places by which landscapes are judged; a quarter of them normalises a function."""


class Smooth:
    """k smooth random functions on the cube, each of mean 0 and deviation 1 over it.

    f(u) = Σ_j a_j cos(w_j·u + b_j) with 48 terms, a_j ~ N(0, 1), b_j ~ U(0, 2π) and
    w_ji ~ N(0, s·p_i): a Gaussian process of squared-exponential kernel, approximately (Rahimi
    and Recht 2007). p ~ Dirichlet(0.7, …, 0.7) says how much each hyperparameter matters, the
    same for all k, and s how wiggly they are.
    """

    def __init__(
        self, rng: np.random.Generator, cube: Cube, count: int = 1, *, wiggles: float = 6.0
    ) -> None:
        matters = rng.dirichlet(np.full(len(cube), 0.7))
        spread = np.sqrt(wiggles * matters)[:, None]
        self._waves = rng.normal(size=(len(cube), count * FEATURES)) * spread
        self._phases = rng.uniform(0, 2 * math.pi, count * FEATURES)
        self._heights = rng.normal(size=(count, FEATURES))
        self._mean, self._deviation = 0.0, np.ones(count)
        values = self(cube.draw(rng, SAMPLE // 4))
        self._mean, self._deviation = values.mean(0), values.std(0)

    def __call__(self, points: FloatArray) -> FloatArray:
        """The values at places of shape (n, d): shape (n, k)."""
        waves = np.cos(points @ self._waves + self._phases)
        values = np.einsum("nkf,kf->nk", waves.reshape(len(points), -1, FEATURES), self._heights)
        normal: FloatArray = (values - self._mean) / self._deviation
        return normal


@dataclass(frozen=True)
class Bowl:
    """Points of accuracy below the best place u*, and a cliff beyond which trainings fail.

    loss(u) = M·(q(u)/q_½)^p·(1 + 0.3 sin r(u)), q(u) = (u − u*)ᵀA(u − u*), with q_½ the median of
    q over the cube, so that M is about the median loss; p ~ U(0.6, 1) and r a smooth function.
    A = diag(a) but for two ranges that interact: A_ij = ±0.7·√(a_i a_j). a_i = exp(N(0, 0.5)) for
    ranges that matter, 0.02 for one that does not (two, of more than five), 0.1 for choices.
    u* lies N(0, 0.3) from the paper's default in every range, within [0.08, 0.92]; a choice of
    it is any.

    Trainings fail at fails(u) = sigmoid((v·(u − u*) − θ)/0.02), v a random direction in the plane
    of the two that interact, θ its quantile of 0.96 over the cube, and at least 0.2.
    """

    best: FloatArray
    matrix: FloatArray
    ripple: Smooth
    power: float
    scale: float
    downhill: FloatArray
    edge: float

    @classmethod
    def draw(cls, rng: np.random.Generator, cube: Cube, default: FloatArray, median: float) -> Self:
        """One for a space whose default lies at `default`, with a median loss of `median`."""
        ranges = rng.permutation(np.flatnonzero(~cube.is_choice))
        idle = ranges[-(1 if len(ranges) <= 5 else 2) :]
        weights = np.exp(rng.normal(0, 0.5, len(cube)))
        weights[cube.is_choice], weights[idle] = 0.1, 0.02
        matrix = np.diag(weights)
        one, two = ranges[:2]
        sign = rng.choice((-0.7, 0.7))
        matrix[one, two] = matrix[two, one] = sign * math.sqrt(weights[one] * weights[two])
        best = np.clip(default + rng.normal(0, 0.3, len(cube)), 0.08, 0.92)
        places = cube.draw(rng, SAMPLE)
        best[cube.is_choice] = places[0, cube.is_choice]
        power = rng.uniform(0.6, 1.0)
        middle = np.median(_quadratic(places - best, matrix))
        downhill = np.zeros(len(cube))
        downhill[[one, two]] = rng.normal(size=2)
        downhill /= np.linalg.norm(downhill)
        edges = [np.quantile((places - best) @ (way * downhill), 0.96) for way in (1, -1)]
        downhill *= 1 if edges[0] >= edges[1] else -1
        ripple = Smooth(rng, cube)
        scale = median / middle**power
        return cls(best, matrix, ripple, power, scale, downhill, max(*edges, 0.2))

    def loss(self, points: FloatArray) -> FloatArray:
        """Points of accuracy below the best, at places of shape (n, d): shape (n,), at least 0."""
        quadratic = _quadratic(points - self.best, self.matrix)
        ripple = 1 + 0.3 * np.sin(self.ripple(points)[:, 0])
        found: FloatArray = self.scale * quadratic**self.power * ripple
        return found

    def fails(self, points: FloatArray) -> FloatArray:
        """How far trainings fail, from 0 to 1, at places of shape (n, d): shape (n,)."""
        beyond = (points - self.best) @ self.downhill - self.edge
        found: FloatArray = 1 / (1 + np.exp(np.clip(-beyond / 0.02, -50, 50)))
        return found


def _quadratic(away: FloatArray, matrix: FloatArray) -> FloatArray:
    found: FloatArray = np.maximum(np.einsum("ni,ij,nj->n", away, matrix, away), 0.0)
    return found
