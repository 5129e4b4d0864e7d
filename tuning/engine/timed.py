"""A training of which a few steps are taken and timed: what its epochs take on this machine."""

import math
import os
import time
from dataclasses import replace
from statistics import fmean

from kd.backbones import build_backbone
from kd.config import TrainConfig
from kd.data import Images
from kd.parts.teacher import Teacher
from kd.training.parallel import Place
from kd.training.teacher import load_teachers
from tuning.engine.pooled import Pool

CHUNK = 0.25
"""Seconds of steps between two looks at the clock, at least."""
FEW = 4
"""Steps that say how long one takes, after the first."""
LOOK = 10.0
"""Seconds that a look at val may take, as its steps let fear; a longer one is only reckoned."""
FORWARD = 1 / 3
"""Of the time of a step on the same images, what a look at them takes at most, about."""


class TimedTraining:
    """The training of `config` on so many seeds, as a trial trains it."""

    def __init__(
        self, config: TrainConfig, train: Images, val: Images, device: str, seeds: int = 1
    ) -> None:
        place = replace(Place.local(device), beside=os.cpu_count() or 1)
        teachers = _teachers(config, train)
        images = train, val
        self.pool = Pool(config, *images, seeds=seeds, place=place, teachers=teachers)
        self.looked = True
        self._step, self._chunk = 0.0, 1
        self._look: float | None = None

    def before(self) -> float:
        """The seconds of the phases before the main one, by a few steps of each; first of all."""
        whole, seconds = len(self.pool.loader), 0.0
        for part, phase in enumerate(self.pool.first.phases[:-1]):
            self._steps(1, part)
            few = min(FEW, whole)
            seconds += phase.epochs * whole * self._steps(few, part) / few
        return seconds

    def warm_up(self) -> None:
        """Take the first steps, which take longer, and see how long others do."""
        steps = len(self.pool.loader)
        self._step = self._steps(1)
        if self._step < 4 * CHUNK:
            few = min(FEW, steps)
            self._step = min(self._step, self._steps(few) / few)
        self._chunk = min(steps, max(1, math.ceil(CHUNK / self._step)))
        first = self.pool.first
        batches = len(first.val_loader.labels) / first.config.batch_size
        self._look = FORWARD * batches * self._step
        self.looked = self._look < LOOK
        if self.looked:
            self.pool.validate()

    @property
    def reckoned(self) -> float:
        """The seconds of an epoch and its look at val, by its first steps."""
        return len(self.pool.loader) * self._step + (self._look or 0.0)

    def epoch(self, until: float) -> float:
        """The seconds of an epoch and its look at val, trained until then."""
        steps, seconds, looks = 0, 0.0, list[float]()
        whole = len(self.pool.loader)
        while time.time() < until or not steps:
            if self.looked and steps >= whole * len(looks):
                began = time.perf_counter()
                self.pool.validate()
                looks.append(time.perf_counter() - began)
            seconds += self._steps(self._chunk)
            steps += self._chunk
        return whole * seconds / steps + (fmean(looks) if looks else self._look or 0.0)

    def _steps(self, count: int, part: int = -1) -> float:
        began = time.perf_counter()
        self.pool.try_out(count, look=False, part=part)
        return time.perf_counter() - began


def _teachers(config: TrainConfig, train: Images) -> list[Teacher]:
    """Its teachers, untrained where they are still to come: they take as long."""
    if all(teacher.weights for teacher in config.teachers):
        return load_teachers(config, train)
    names = [config.teacher_recipe(n).backbone for n in range(len(config.teachers))]
    sizes = len(train.class_names), int(train.images.shape[1])
    return [Teacher(build_backbone(name, *sizes)) for name in names]
