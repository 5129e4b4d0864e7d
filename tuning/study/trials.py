"""A trial as the rest of the project sees it, whatever engine ran it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

REFERENCE = 0
"""The number of the trial that trains the paper's default configuration."""

NOT_FINITE = "the loss was not finite"
"""How the reason of a trial begins that diverged."""

RAN_ON = "let run on though behind others after epoch"
"""How the reason of a trial begins that was spared, and completed."""

State = Literal["running", "completed", "stopped", "failed"]
Span = tuple[float, float]
"""A beginning and an end, in seconds since the epoch."""
Report = Mapping[str, Any]
"""What a trial tells after an epoch: "epoch" (1-based), "val_acc" (percent), any other numbers.

The first one may say "began_again": True, where the trial's checkpoint could not be read, and
"remarks": sentences about what was not to be had; each is passed on once a sweep. The last one may
say "diverged": True, "failed": a sentence, or beside it "starved": True where the
trial ended for want of GPU memory, "unstored": True where its files could not be written or read.
"""


@dataclass(kw_only=True)
class TrialRecord:
    """One configuration and its training.

    `number` is the trial's place in the sweep, from 0, and its identity across restarts.
    `config` is `TrainConfig.to_dict()`. `curve` maps a 1-based epoch to val accuracy in
    percent, `told` what the epoch measured for the sweep's other objectives, by their names.
    `metrics` is everything that the last reported epoch measured. `started` and
    `ended` are seconds since the epoch, as are `spans`: from when to when it ran, once for each
    session of its sweep. `gpus` is how many GPUs it held, or which part of one; `reason` says why
    a trial was stopped or failed; `spared` is the epoch after which early stopping would have
    stopped it, had it not been let run on to check that. `source` says which other search its
    configuration comes from; "" where it was drawn. `label` is that of the ablation's row that it
    trains; "" of all else. `seeds` is on how many it trains, in turns: all that is told of an epoch
    is their mean.
    """

    number: int
    config: dict[str, Any]
    state: State = "running"
    curve: dict[int, float] = field(default_factory=dict)
    told: dict[int, dict[str, float]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    started: float = 0.0
    ended: float | None = None
    spans: tuple[Span, ...] = ()
    gpus: float = 0.0
    reason: str = ""
    spared: int | None = None
    source: str = ""
    label: str = ""
    seeds: int = 1

    @property
    def is_default(self) -> bool:
        """Whether it trains the paper's default configuration."""
        return self.number == REFERENCE

    @property
    def diverged(self) -> bool:
        """Whether it was stopped since its training diverged."""
        return self.state == "stopped" and self.reason.startswith(NOT_FINITE)

    @property
    def outcome(self) -> str:
        """Its state, in the word that a person is shown."""
        return "diverged" if self.diverged else self.state

    @property
    def epoch(self) -> int:
        """The last epoch that was reported; 0 before the first."""
        return max(self.curve, default=0)

    @property
    def trained(self) -> int:
        """The epochs that it took: those that were reported, on each of its seeds."""
        return self.epoch * self.seeds

    @property
    def score(self) -> float | None:
        """Val accuracy in percent at the last reported epoch; what trials are ranked by."""
        return self.curve.get(self.epoch)

    @property
    def active(self) -> tuple[Span, ...]:
        """When it ran, up to its last report; from start to end where nothing more was kept."""
        if self.spans or not (self.started and self.ended):
            return self.spans
        return ((self.started, self.ended),)

    @property
    def seconds(self) -> float:
        """How long it ran, in seconds; a pause before a resumption does not count."""
        return sum(max(stop - start, 0.0) for start, stop in self.active)


def best_trial(trials: "list[TrialRecord]") -> TrialRecord | None:
    """The completed trial of highest score; the earliest one on a tie."""
    done = [t for t in trials if t.state == "completed" and t.score is not None]
    return max(done, key=lambda t: (t.score or 0.0, -t.number), default=None)


class Observer(Protocol):
    """Told of everything that happens to a sweep's trials, in the driver, in order.

    An epoch may be told twice after a restart; the second time counts for nothing.
    """

    def on_start(self, trial: TrialRecord) -> None:
        """A trial was created, or is about to go on after a restart."""

    def on_epoch(self, trial: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """A trial reported the metrics of one 1-based epoch; `trial` already holds them."""

    def on_end(self, trial: TrialRecord) -> None:
        """A trial is completed, stopped or failed."""


def measured(report: Mapping[str, Any]) -> dict[str, float]:
    """What the loop measured: the finite numbers."""
    return {
        name: float(value)
        for name, value in report.items()
        if name not in ("trial", "epoch")
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def outcome(record: TrialRecord, report: Mapping[str, Any], crashed: bool) -> tuple[State, str]:
    """How a trial ended whose last report this is, and why."""
    if crashed:
        return "failed", "its process ended with an error"
    if "failed" in report:
        return "failed", str(report["failed"])
    if report.get("diverged"):
        return "stopped", f"{NOT_FINITE} in epoch {record.epoch}"
    if not record.curve:
        return "failed", "it ended before its first report"
    epochs = record.config["epochs"]
    if record.epoch >= epochs:
        return "completed", f"{RAN_ON} {record.spared}, to check that" if record.spared else ""
    return "stopped", f"behind others after epoch {record.epoch} of {epochs}"
