"""What repeats of a simulated search come to: regret, its interval, and what it cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

from tuning.replaying.repeats import Repeat


@dataclass(frozen=True)
class Mean:
    """A mean and the half-width of its 95 % interval; None for one value, which has none."""

    mean: float
    half: float | None

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + ("" if self.half is None else f" ± {self.half:.2f}")


def mean_of(values: Sequence[float]) -> Mean:
    """The mean and its interval by Student's t."""
    if len(values) < 2:
        return Mean(fmean(values), None)
    # scipy.stats takes ten times as long to import.
    from scipy.special import stdtrit

    wide = float(stdtrit(len(values) - 1, 0.975))
    return Mean(fmean(values), wide * stdev(values) / math.sqrt(len(values)))


@dataclass(frozen=True, kw_only=True)
class Row:
    """All repeats when a share of their epochs was spent; accuracies and regrets in points.

    `epochs` and `seconds` are means; `regret` is what is lacking of the best of the space, and
    `volume` the hypervolume of `Moment`.
    """

    share: float
    epochs: float
    seconds: float
    truth: Mean
    regret: Mean
    middle: float
    worst: float
    volume: Mean | None


def rows(found: Sequence[Repeat], shares: Sequence[float] = (0, 0.25, 0.5, 1)) -> list[Row]:
    """The repeats at each of the shares of what each of them spent; 0 is before the search."""
    return [_row(found, share) for share in shares]


def _row(found: Sequence[Repeat], share: float) -> Row:
    spent = [share * repeat.course.epochs for repeat in found]
    moments = [r.course.at(epochs) for r, epochs in zip(found, spent, strict=True)]
    regrets = [moment.regret for moment in moments]
    volumes = [moment.volume for moment in moments if moment.volume is not None]
    return Row(
        share=share,
        epochs=fmean(spent),
        seconds=fmean(share * repeat.course.seconds for repeat in found),
        truth=mean_of([moment.truth for moment in moments]),
        regret=mean_of(regrets),
        middle=median(regrets),
        worst=max(regrets),
        volume=mean_of(volumes) if volumes else None,
    )


def reached(found: Sequence[Repeat], regret: float) -> tuple[int, float | None]:
    """How many repeats came to that regret for good, and the median epochs until then.

    None where fewer than half of them did. A repeat that never did counts as longer than any.
    """
    epochs = [repeat.course.epochs_until(regret) for repeat in found]
    count = sum(e is not None for e in epochs)
    middle = median(math.inf if e is None else e for e in epochs)
    return count, middle if math.isfinite(middle) else None


def table(found: Sequence[Repeat], regret: float) -> list[dict[str, Any]]:
    """A row for each repeat, for a file; `course` columns hold its moments, one by one.

    `regret` is the one whose epochs are told in `epochs_until`.
    """
    return [
        {
            "seed": repeat.seed,
            "best": repeat.best,
            "default_truth": repeat.course.start.truth,
            "truth": repeat.course.last.truth,
            "regret": repeat.course.last.regret,
            "epochs": repeat.course.epochs,
            "seconds": repeat.course.seconds,
            "trials": repeat.trials,
            "completed": repeat.completed,
            "epochs_until": repeat.course.epochs_until(regret),
            "course.epochs": [moment.epochs for moment in repeat.course.moments],
            "course.seconds": [moment.seconds for moment in repeat.course.moments],
            "course.regret": [moment.regret for moment in repeat.course.moments],
            **_volumes(repeat),
        }
        for repeat in found
    ]


def _volumes(repeat: Repeat) -> dict[str, Any]:
    """The columns of a search of several objectives; none of one."""
    if repeat.course.start.volume is None:
        return {}
    return {
        "hypervolume": repeat.course.last.volume,
        "course.hypervolume": [moment.volume for moment in repeat.course.moments],
    }
