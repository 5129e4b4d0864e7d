"""A sweep and what came of it: the numbers behind the live table, the pictures and the report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from search_spaces import Domain
from tuning.records.settings import SweepSettings
from tuning.study.stopping import rungs
from tuning.study.trials import State, TrialRecord, best_trial


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a sweep was asked to do.

    `trials` is how many are planned, `epochs` the longest a trial may run, `rungs` the epochs
    at which one may be stopped, `slots` how many run at once, `searched` what may vary, by
    dotted names, `val_size` the number of images behind a val accuracy (0 if not
    known), `protocol` and `environment` what `tuning.records.protocol` says of the sweep: what its
    scores may be compared under, the machine and the versions.
    """

    name: str
    method: str
    backbone: str
    dataset: str
    trials: int
    epochs: int
    rungs: tuple[int, ...]
    slots: int
    folder: Path
    searched: Mapping[str, Domain]
    val_size: int = 0
    protocol: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def cell(self) -> str:
        """`method · backbone · data set`, for a headline."""
        return f"{self.method} · {self.backbone} · {self.dataset}"

    @classmethod
    def of(
        cls,
        settings: SweepSettings,
        searched: Mapping[str, Domain],
        *,
        slots: int = 1,
        val_size: int = 0,
        protocol: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """The description of the sweep that `settings` ask for."""
        base = settings.base
        stops = rungs(base.epochs, settings.grace_period, settings.reduction_factor)
        return cls(
            name=settings.name,
            method=base.method,
            backbone=base.backbone,
            dataset=base.dataset,
            trials=settings.trials,
            epochs=base.epochs,
            rungs=tuple(stops) if settings.scheduler == "asha" else (),
            slots=slots,
            folder=settings.folder,
            searched=searched,
            val_size=val_size,
            protocol=protocol or {},
            environment=environment or {},
        )


@dataclass(frozen=True)
class SweepResult:
    """A sweep and its trials, in the order of their numbers."""

    sweep: Sweep
    trials: Sequence[TrialRecord]

    def of(self, *states: State) -> list[TrialRecord]:
        """The trials in any of these states."""
        return [trial for trial in self.trials if trial.state in states]

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial of highest val accuracy."""
        return best_trial(list(self.trials))

    @property
    def default(self) -> TrialRecord | None:
        """The paper's default configuration: trial 0."""
        return next((trial for trial in self.trials if trial.number == 0), None)

    @property
    def gain(self) -> float | None:
        """Points of val accuracy that the best trial is above the default, if both completed."""
        best, default = self.best, self.default
        if not best or not default or default.state != "completed":
            return None
        return (best.score or 0.0) - (default.score or 0.0)

    def standard_error(self, accuracy: float) -> float | None:
        """Binomial standard error of a val accuracy, both in percent; None if n is not known."""
        if not self.sweep.val_size:
            return None
        p = accuracy / 100
        return 100 * math.sqrt(p * (1 - p) / self.sweep.val_size)

    # -- cost ---------------------------------------------------------------------------------

    @property
    def epochs_spent(self) -> int:
        """Epochs trained, over all trials."""
        return sum(trial.epoch for trial in self.trials)

    @property
    def epochs_saved(self) -> int:
        """Epochs that stopping spared: what the stopped trials did not train."""
        return sum(self.sweep.epochs - trial.epoch for trial in self.of("stopped"))

    @property
    def seconds(self) -> float:
        """From the first start to the last end, in seconds."""
        ends = [trial.ended for trial in self.trials if trial.ended]
        starts = [trial.started for trial in self.trials if trial.started]
        return max(max(ends) - min(starts), 0.0) if ends and starts else 0.0

    @property
    def trial_seconds(self) -> float:
        """Seconds of all ended trials together: slots times time, without idle slots."""
        return sum(trial.seconds for trial in self.trials)

    @property
    def gpu_seconds(self) -> float:
        """Seconds of all ended trials together, each times the GPUs that it held."""
        return sum(trial.seconds * trial.gpus for trial in self.trials)

    # -- best so far --------------------------------------------------------------------------

    def best_over_minutes(self) -> list[tuple[float, float]]:
        """(minutes since the first start, best completed val accuracy in percent), as it rose."""
        origin = min((trial.started for trial in self.trials if trial.started), default=0.0)
        return _rising([((t.ended or 0.0) - origin) / 60 for t in self._ended()], self._ended())

    def best_over_epochs(self) -> list[tuple[float, float]]:
        """(epochs spent on ended trials, best completed val accuracy in percent), as it rose."""
        spent, total = [], 0
        for trial in self._ended():
            total += trial.epoch
            spent.append(float(total))
        return _rising(spent, self._ended())

    def _ended(self) -> list[TrialRecord]:
        return sorted(self.of("completed", "stopped", "failed"), key=lambda t: t.ended or 0.0)


def _rising(at: list[float], trials: list[TrialRecord]) -> list[tuple[float, float]]:
    steps: list[tuple[float, float]] = []
    for place, trial in zip(at, trials, strict=True):
        if trial.state != "completed" or trial.score is None:
            continue
        if not steps or trial.score > steps[-1][1]:
            steps.append((place, trial.score))
    return steps


# -- how values are named and written ---------------------------------------------------------


def value_at(config: dict[str, Any], name: str) -> Any:
    """What a nested configuration holds under a dotted name: `kd.lambda_b.0`; None if nothing."""
    value: Any = config
    for part in name.split("."):
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def short(name: str) -> str:
    """A dotted name without its section: `kd.lambda_b.0` is `lambda_b.0`."""
    return name.partition(".")[2] or name


def text(value: Any) -> str:
    """A value as a person reads it: three significant digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "–" if value is None else str(value)


def duration(seconds: float) -> str:
    """`12 s`, `4 min 05 s`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
