"""Curves that are generated: landscapes of a kind, each drawn from a seed of the generator.

| kind | space | mean curves | deviation of seeds, of epochs; images of val |
|---|---|---|---|
| `distillation` | lsskd | steps at which curves cross | 0.35; 1.5·0.35^k after k decays; 5000 |
| `powerlaw` | dtskd | random shapes, as of ifBO's prior | 0.3; 0.3; 5000 |
| `cosine` | lsskd, its optimizer too | a cosine, in order early | 0.2; 0.25; 10000 |
| `flat` | lsskd | steps, and nothing to learn | as of `distillation` |

All are of resnet18 on CIFAR-100. `stepwise` and `powerlaw` say by which equations mean curves are
drawn. A landscape is drawn again until the paper's default looks as it does in practice: among
1024 random configurations it lies in the best third, and the best of the space is above it by 1
to 5 points (by nothing to 0.4 for `flat`) and reaches 90 % at most.

**Noise.** A training with seed s of a configuration u has the accuracies
a_e = m_e(u) + σ·z + σ_e·z_e in epoch e, z and z_e standard normal, cut to [0, 100]: one deviation
of the seed, σ, for the whole curve, and one of every epoch, σ_e. Val has n images; image i is
right where its own x_i ~ U(0, 1) is below a_e/100, so that a score is binomial about a_e, and the
scores of a training share the luck of its images. All is a function of the generator's seed, u
and s. The truth is m_E(u), as the last epoch is not near 0 or 100 %.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from kd.config import TrainConfig
from search_spaces import Space, load_space
from tuning.replaying.landscapes import SAMPLE
from tuning.replaying.powerlaw import PowerLaw
from tuning.replaying.stepwise import OverBowl
from tuning.study.cube import Cube, FloatArray
from tuning.study.objectives import VAL_ACC, Objectives

BACKBONE, DATASET = "resnet18", "cifar100"
TRIES = 1000
"""Landscapes drawn at most for one that is as in practice."""


class Landscape(Protocol):
    """The mean curves of a kind's landscape, in percent, at places of shape (n, d)."""

    @property
    def best(self) -> float:
        """The highest mean accuracy of the last epoch."""

    def last(self, points: FloatArray) -> FloatArray:
        """Of the last epoch: shape (n,)."""

    def means(self, points: FloatArray) -> FloatArray:
        """Of every epoch: shape (n, epochs)."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How landscapes of a kind are drawn, and how scores deviate from their mean curves.

    `seed_sd` is σ, and σ_e `epoch_sd`·`calmer`^k after k decays of the learning rate, in points;
    `gap` between which points of accuracy the best lies above the default.
    """

    draw: Callable[[np.random.Generator, Cube, FloatArray, TrainConfig], Landscape]
    method: str = "lsskd"
    optimizer: bool = False
    seed_sd: float = 0.35
    epoch_sd: float = 1.5
    calmer: float = 0.35
    val_size: int = 5000
    gap: tuple[float, float] = (1.0, 5.0)


def _distillation(
    rng: np.random.Generator, cube: Cube, default: FloatArray, base: TrainConfig
) -> Landscape:
    steps = base.optimizer.milestones
    return OverBowl.draw("distillation", rng, cube, default, steps, base.epochs)


def _cosine(
    rng: np.random.Generator, cube: Cube, default: FloatArray, base: TrainConfig
) -> Landscape:
    return OverBowl.draw("cosine", rng, cube, default, (), base.epochs)


def _flat(
    rng: np.random.Generator, cube: Cube, default: FloatArray, base: TrainConfig
) -> Landscape:
    return OverBowl.draw("flat", rng, cube, default, base.optimizer.milestones, base.epochs)


def _powerlaw(
    rng: np.random.Generator, cube: Cube, default: FloatArray, base: TrainConfig
) -> Landscape:
    return PowerLaw.draw(rng, cube, default, base.epochs)


KINDS: dict[str, Kind] = {
    "distillation": Kind(draw=_distillation),
    "powerlaw": Kind(draw=_powerlaw, method="dtskd", seed_sd=0.3, epoch_sd=0.3, calmer=1.0),
    "cosine": Kind(draw=_cosine, optimizer=True, seed_sd=0.2, epoch_sd=0.25, val_size=10_000),
    "flat": Kind(draw=_flat, gap=(0.0, 0.4)),
}


class Generated:
    """The curves of one landscape: `kind`, drawn from `seed`, for trials of `epochs` epochs.

    An epoch takes a second; where they are `paced`, one second and the mean of its place u, so
    that it matters to a search for short trainings which configuration is drawn.
    """

    offers = (VAL_ACC.name, "train_seconds")

    def __init__(self, kind: str, seed: int, epochs: int = 27, *, paced: bool = False) -> None:
        self.paced = paced
        self.name = kind
        self.kind = KINDS[kind]
        self.seed = seed
        base = TrainConfig.paper(self.kind.method, BACKBONE, DATASET, epochs=epochs)
        if kind == "cosine":
            base = replace(base, optimizer=replace(base.optimizer, schedule="cosine"))
        self.base = base
        self.space: Space = load_space(self.kind.method, BACKBONE, optimizer=self.kind.optimizer)
        self.cube = Cube(self.space)
        self.landscape = self._draw()

    def curve(self, config: TrainConfig, seed: int) -> FloatArray:
        """As of `Curves`, by the equations above."""
        point, kind = self.cube.point(config), self.kind
        place = zlib.crc32(np.round(point, 9).tobytes())
        rng = np.random.default_rng((self.seed, seed, place))
        deviations = kind.seed_sd * rng.normal() + self._epoch_sd * rng.normal(size=self.epochs)
        means = self.landscape.means(point[None])[0]
        images = np.sort(rng.random(kind.val_size))
        right = np.searchsorted(images, np.clip(means + deviations, 0, 100) / 100)
        scores: FloatArray = 100 * right / kind.val_size
        return scores

    def truth(self, config: TrainConfig) -> float:
        """The mean accuracy of the last epoch, in percent."""
        return float(self.landscape.last(self.cube.point(config)[None])[0])

    def best(self) -> float:
        """The highest truth of the space, in percent."""
        return self.landscape.best

    def seconds(self, config: TrainConfig) -> float:
        """How long an epoch takes."""
        return float(self._seconds(self.cube.point(config)[None])[0])

    def told(self, config: TrainConfig, seed: int, name: str) -> FloatArray:
        """The seconds of each epoch, which are all that is generated beside scores."""
        return np.full(self.epochs, self.seconds(config))

    def reached(self, objectives: Objectives) -> FloatArray:
        """By mean accuracies of the last epoch, of random places."""
        points = self.cube.draw(np.random.default_rng(self.seed), SAMPLE)
        values = {
            VAL_ACC.name: self.landscape.last(points),
            "train_seconds": self.epochs * self._seconds(points),
        }
        found: FloatArray = np.stack([o.sign * values[o.name] for o in objectives], axis=1)
        return found

    def _seconds(self, points: FloatArray) -> FloatArray:
        seconds: FloatArray = 1.0 + self.paced * points.mean(1)
        return seconds

    @property
    def epochs(self) -> int:
        """How many epochs a trial has at most."""
        return self.base.epochs

    @cached_property
    def _epoch_sd(self) -> FloatArray:
        done = np.arange(1, self.epochs + 1) / self.epochs
        milestones = self.base.optimizer.milestones if self.kind.calmer < 1 else ()
        fallen = (done[:, None] > np.array(milestones)).sum(1)
        deviations: FloatArray = self.kind.epoch_sd * self.kind.calmer**fallen
        return deviations

    def _draw(self) -> Landscape:
        """The first landscape of the seed in which the default looks as it does in practice."""
        rng = np.random.default_rng((zlib.crc32(self.name.encode()), self.seed))
        default = self.cube.point(self.base)
        low, high = self.kind.gap
        for _ in range(TRIES):
            drawn = self.kind.draw(rng, self.cube, default, self.base)
            level = float(drawn.last(default[None])[0])
            # Most are refused by a few places.
            if np.mean(drawn.last(self.cube.draw(rng, SAMPLE // 8)) > level) > 0.45:
                continue
            others = drawn.last(self.cube.draw(rng, SAMPLE))
            if np.mean(others > level) >= 1 / 3 or others.max() > level + high:
                continue
            if low <= drawn.best - level <= high and drawn.best <= 90:
                return drawn
        raise ValueError(f"no landscape of {self.name} in {TRIES} tries")
