"""What a search will take, with bands, from the pace of its trials; and as it is kept."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from kd.files import replace_file
from tuning.records.settings import SweepSettings
from tuning.study.budget import HOUR
from tuning.study.expected import Course, Outline, Pace, courses
from tuning.study.race import FIRST_LOOK, SEEDS, TOP
from tuning.study.sampling import BY_CHANCE
from tuning.study.stopping import Check

FILE = "forecast.json"
LOW, HIGH = 0.025, 0.975
"""Between which quantiles of what was simulated a band lies."""
_ASKED = ("trials", "epochs_total", "hours", "gpu_hours", "cost", "price_per_hour", "confirm")
"""What a resumed sweep may be given anew, and a forecast depends on."""

_ALWAYS, _PERHAPS = ("trials", "epochs", "seconds"), ("gpu_hours", "usd")


class Band(NamedTuple):
    """From where to where a number will lie nineteen times in twenty, and the middle."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """The band of simulated values."""
        import numpy as np

        found = np.quantile(list(values), (LOW, 0.5, HIGH))
        return cls(*map(float, found))

    def times(self, factor: float) -> Self:
        """The band of a number that is `factor` times as large."""
        return type(self)(*(value * factor for value in self))


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a search will take: `seconds` of training by the clock; `gpu_hours` and `usd` or None.

    `asked` is what it was made for.
    """

    trials: Band
    epochs: Band
    seconds: Band
    gpu_hours: Band | None
    usd: Band | None
    asked: dict[str, Any]

    @classmethod
    def of(cls, settings: SweepSettings, pace: Pace, slots: int, gpus: float) -> Self:
        """What a sweep will take at that pace: `slots` trials at once, with `gpus` each."""
        found = courses(outline(settings, slots, gpus), pace, settings.seed)
        price = settings.price_per_hour
        return cls(
            trials=Band.of(course.trials for course in found),
            epochs=Band.of(course.epochs for course in found),
            seconds=Band.of(course.seconds for course in found),
            gpu_hours=Band.of(_held(course, gpus) for course in found) if gpus else None,
            usd=Band.of(_charged(found, gpus)).times(price) if price is not None else None,
            asked=_asked(settings),
        )

    def fits(self, settings: SweepSettings) -> bool:
        """Whether it was made for what the sweep is asked now."""
        return self.asked == _asked(settings)

    def keep(self, folder: Path) -> None:
        """Write it into the sweep's folder."""
        replace_file(folder / FILE, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """What was kept in a sweep's folder; None where nothing of use was."""
        try:
            plain = json.loads((folder / FILE).read_bytes())
            known = {name: Band(*map(float, plain[name])) for name in _ALWAYS}
            given = {name: plain[name] and Band(*map(float, plain[name])) for name in _PERHAPS}
            return cls(**known, **given, asked=dict(plain["asked"]))
        except (OSError, LookupError, TypeError, ValueError, RecursionError):
            return None


def confirming(settings: SweepSettings) -> tuple[int, int]:
    """From how many epochs to how many confirming takes: all are dropped at once, or none ever.

    In a comparison what is handed out is trained on all of its seeds.
    """
    seeds, each = settings.compared_on, settings.base.epochs
    least = FIRST_LOOK * (TOP + 1) + max(seeds - FIRST_LOOK, 0)
    return least * each, max(SEEDS, seeds) * (TOP + 1) * each


def outline(settings: SweepSettings, slots: int = 1, gpus: float = 0.0) -> Outline:
    """What the course of a sweep depends on, with `slots` trials at once, of `gpus` each."""
    return Outline(
        trials=settings.trials,
        epochs=settings.base.epochs,
        scheduler=settings.scheduler,
        grace_period=settings.grace_period,
        reduction_factor=settings.reduction_factor,
        slots=settings.at_once(slots),
        budget=settings.budget,
        gpus=gpus,
        learns=settings.sampler not in BY_CHANCE,
        check=Check(settings.check_rungs, settings.seed),
        seeds=settings.seeds_per_trial,
    )


def _held(course: Course, gpus: float) -> float:
    return course.busy * gpus / HOUR


def _charged(found: Sequence[Course], gpus: float) -> list[float]:
    """The hours that cost something, of each course."""
    return [_held(course, gpus) if gpus else course.seconds / HOUR for course in found]


def _asked(settings: SweepSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in _ASKED}
