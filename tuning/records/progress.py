"""How a sweep's val accuracy rose: the numbers that the page and the picture both draw."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from statistics import median

from tuning.records.result import SweepResult

Point = tuple[float, float]


@dataclass(frozen=True)
class BestSoFar:
    """The best val accuracy of a completed trial so far, in percent, as a sweep goes on.

    `points` are (place, val accuracy) of the completed trials in the order of their ends, one
    at least, where a place is minutes or epochs; `default` is the level of the paper's default,
    None unless it completed; `end` is the place of the sweep's end.
    """

    points: tuple[Point, ...]
    default: float | None
    end: float

    @property
    def steps(self) -> list[Point]:
        """The points that were a new best."""
        steps: list[Point] = []
        for place, score in self.points:
            if not steps or score > steps[-1][1]:
                steps.append((place, score))
        return steps

    @property
    def limits(self) -> tuple[float, float]:
        """Val accuracies between which it is drawn, in percent."""
        top = self.steps[-1][1]
        # From a typical trial upwards: one bad first trial must not flatten the rest.
        base = median(score for _, score in self.points)
        base = base if self.default is None else min(base, self.default)
        spread = max(top - base, 2.0)
        return base - 0.3 * spread, top + 0.2 * spread


def over_minutes(result: SweepResult) -> BestSoFar | None:
    """The best so far over minutes of training; None if no trial completed.

    The pauses of an interrupted sweep do not count.
    """
    spans = result.spans
    starts = [start for start, _ in spans]
    before = list(accumulate((stop - start for start, stop in spans), initial=0.0))

    def passed(moment: float) -> float:
        index = bisect_right(starts, moment) - 1
        if index < 0:
            return 0.0
        start, stop = spans[index]
        return before[index] + min(moment, stop) - start

    places = [passed(trial.ended or 0.0) / 60 for trial in result.ended]
    return _best_so_far(result, places, before[-1] / 60)


def over_epochs(result: SweepResult) -> BestSoFar | None:
    """The best so far over epochs spent on ended trials; None if no trial completed."""
    places, spent = [], 0
    for trial in result.ended:
        spent += trial.trained
        places.append(float(spent))
    return _best_so_far(result, places, float(result.epochs_spent))


def _best_so_far(result: SweepResult, places: list[float], end: float) -> BestSoFar | None:
    points = tuple(
        (place, trial.score)
        for place, trial in zip(places, result.ended, strict=True)
        if trial.state == "completed" and trial.score is not None
    )
    default = result.default
    level = default.score if default and default.state == "completed" else None
    return BestSoFar(points, level, max(end, points[-1][0])) if points else None


def curve_limits(result: SweepResult) -> tuple[float, float]:
    """Val accuracies between which the curves of all trials are drawn, in percent.

    What a reader compares lies at the top, so a few bad epochs fall off the lower edge, and a
    failed trial's count only where there is nothing else.
    """
    shown = result.of("completed", "stopped", "running") or result.trials
    values = sorted(value for trial in shown for value in trial.curve.values())
    if not values:
        return 0.0, 100.0
    low, high = values[int(0.04 * len(values))], values[-1]
    margin = max(0.06 * (high - low), 2.0)
    return max(low - margin, 0.0), min(high + 1.5 * margin, 100.5)
