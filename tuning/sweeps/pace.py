"""The pace of a search that was not begun, where an earlier one of the same kind tells it."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from kd.config import TrainConfig
from kd.errors import UserError
from kd.origin import Origin
from tuning.engine.share import Share
from tuning.engine.trying import SET_UP, TELL
from tuning.records.environment import environment
from tuning.records.protocol import protocol
from tuning.records.result import Sweep, SweepResult
from tuning.records.settings import SweepSettings
from tuning.study.expected import Pace, doubt
from tuning.study.trials import TrialRecord
from tuning.sweeps.warming import earlier

ALIKE = (
    "cpus_per_trial",
    "gpus_per_trial",
    "workers_per_trial",
    "seeds_per_trial",
    "compile",
    "mps",
)
"""What decides, on one machine, how much of it a trial holds and how it computes."""
FEWEST = 3
"""Trials of two epochs and more by which a pace is known: one alone may have met anything."""


class Known(NamedTuple):
    """The pace of the `sweep` of that name, whose trials held so many `gpus`, in `slots`."""

    sweep: str
    pace: Pace
    slots: int
    gpus: float


def known_pace(settings: SweepSettings, share: Share) -> Known | None:
    """What the newest sweep says that trained the same on this machine, by this code; else None.

    That is: method, backbone, images, epochs and batch size; what a trial holds, which is `share`
    here where GPUs are not packed; the machine, the versions of the packages and the code in kd/.
    What else the machine did then nobody knows, so the deviation of the trials' epochs is in doubt
    beside what a measurement has. None where a teacher is trained first, whose pace it does not
    tell.
    """
    if any(teacher.weights is None for teacher in settings.base.teachers):
        return None
    about = protocol(settings.base, root=settings.data_root)
    here = _here(environment(), about, Origin.of("", config=settings.base))
    for result in earlier(settings):
        sweep = result.sweep
        there = _here(sweep.environment, sweep.protocol, _origin(sweep))
        if there == here and _as_many(sweep, settings):
            trials = [trial for trial in result.ended if _tells(trial, settings.base)]
            if len(trials) >= FEWEST and _fits(trials[0].gpus, sweep, settings, share):
                return _of(result, trials)
    return None


def _here(
    environment: Mapping[str, str], protocol: Mapping[str, str], origin: Origin
) -> tuple[dict[str, str], ...]:
    """What must be the same of a sweep beside its settings; the commit says less than the code."""
    machine = {name: value for name, value in environment.items() if name != "git_commit"}
    return machine, {"dataset": protocol.get("dataset", "")}, origin.versions


def _origin(sweep: Sweep) -> Origin:
    """What it began with; nothing where its file is damaged, which others are told of."""
    try:
        return Origin.load(sweep.folder)
    except UserError:
        return Origin()


def _as_many(sweep: Sweep, settings: SweepSettings) -> bool:
    """Whether it was asked for as much a trial, and as many ran at once."""
    its, slots = sweep.settings, sweep.slots
    alike = all(getattr(its, name) == getattr(settings, name) for name in ALIKE)
    return alike and its.at_once(slots) == settings.at_once(slots)


def _fits(gpus: float, sweep: Sweep, settings: SweepSettings, share: Share) -> bool:
    """Whether its trials, of so many `gpus`, were what this machine alone has room for."""
    if settings.packed and share.gpus:
        return gpus > 0 and gpus * sweep.slots <= share.gpus * share.slots + 1e-3
    return (gpus, sweep.slots) == (share.gpus, share.slots)


def _tells(trial: TrialRecord, base: TrainConfig) -> bool:
    """Whether its last epoch took what one of `base` would; a first one takes longer."""
    config = TrainConfig.from_dict(trial.config)
    names = ("batch_size", "precision", "history", "augment")
    same = all(getattr(config, name) == getattr(base, name) for name in names)
    same = same and len(config.teachers) == len(base.teachers)
    return same and trial.epoch > 1 and "epoch_seconds" in trial.metrics


def _of(result: SweepResult, trials: Sequence[TrialRecord]) -> Known:
    seconds = [trial.metrics["epoch_seconds"] for trial in trials]
    epoch, slots = fmean(seconds) + TELL, result.sweep.slots
    # Those that began with their processes waited for them.
    first = [t.seconds - _before(t) - t.epoch * epoch - SET_UP for t in trials if t.number < slots]
    pace = Pace(
        epoch=epoch,
        trial=SET_UP,
        start=max(fmean(first), 0.0) if first else 0.0,
        # Of a trial that began with what another had trained it is nothing.
        before=max(map(_before, trials)),
        shared=result.sweep.settings.base.kd.beginning is not None,
        doubt=math.hypot(doubt(), stdev(seconds) / fmean(seconds)),
    )
    return Known(result.sweep.name, pace, slots, trials[0].gpus)


def _before(trial: TrialRecord) -> float:
    """The seconds of what its method trains before the first epoch."""
    return trial.metrics.get("before_seconds", 0.0)
