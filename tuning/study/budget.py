"""What a search may spend, and whether it has."""

from collections.abc import Iterable
from dataclasses import dataclass

from tuning.study.trials import Span, TrialRecord


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bounds of a search, each None where there is none.

    `epochs` are of all trials together; `hours` pass by the clock while any trial runs, without
    the pauses of an interrupted sweep; `gpu_hours` are those of all trials, each times the GPUs
    that it held.
    """

    epochs: int | None = None
    hours: float | None = None
    gpu_hours: float | None = None

    def spent(self, trials: Iterable[TrialRecord]) -> str:
        """Which bound is reached, as `500 epochs`; "" while none is."""
        if self == Budget():
            return ""
        trials = list(trials)
        if self.epochs is not None and sum(t.epoch for t in trials) >= self.epochs:
            return f"{self.epochs} epochs"
        if self.hours is not None and seconds(trials) >= 3600 * self.hours:
            return f"{self.hours:g} hours"
        if self.gpu_hours is not None:
            held = sum(trial.seconds * trial.gpus for trial in trials)
            if held >= 3600 * self.gpu_hours:
                return f"{self.gpu_hours:g} GPU-hours"
        return ""


def merged(trials: Iterable[TrialRecord]) -> list[Span]:
    """When any trial ran, in order; the pauses of an interrupted sweep lie between."""
    spans: list[Span] = []
    for start, stop in sorted(span for trial in trials for span in trial.active):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((start, max(start, stop)))
    return spans


def seconds(trials: Iterable[TrialRecord]) -> float:
    """How long any trial ran, in seconds, without the pauses between."""
    return sum(stop - start for start, stop in merged(trials))
