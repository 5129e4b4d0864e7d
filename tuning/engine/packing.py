"""What each trial gets of the machines: how many share one GPU, where that is left to them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kd.backbones.names import short
from kd.config import TrainConfig
from kd.screen import warn
from kd.text import visible
from tuning.engine.measuring import UnmeasurableError, card_of, fitting, measure
from tuning.engine.remembered import Measured, cell_of, keep, recall, undecided, worthwhile
from tuning.engine.share import Node, Share, share
from tuning.engine.trial import Work
from tuning.records.settings import SweepSettings

Job = tuple[TrainConfig, Work]


@dataclass(frozen=True)
class Packing:
    """What each trial gets; and of each job, the steps a second of one of its trials, if known."""

    share: Share
    rates: tuple[float | None, ...] = ()


def share_of(settings: SweepSettings, nodes: Sequence[Node]) -> Share:
    """What each trial gets of `nodes` where no two of them share a GPU unless that is asked for.

    UserError if no machine has room for a trial.
    """
    cpus, gpus = settings.cpus_per_trial, settings.gpus_per_trial
    return share(nodes, cpus, None if gpus == "auto" else gpus, settings.workers_per_trial)


def packing(settings: SweepSettings, nodes: Sequence[Node], jobs: Sequence[Job]) -> Packing:
    """What each trial of the sweeps gets of `nodes`; UserError if none has room for a trial.

    Where --gpus-per-trial is `auto`, as many trials share a GPU as gain by it, which is measured
    by training the `jobs` side by side on one, unless it was for an earlier sweep; where they
    differ, the fewest.
    """
    whole = share_of(settings, nodes)
    if not (settings.packed and whole.gpus):
        return Packing(whole, (None,) * len(jobs))
    cpus = settings.cpus_per_trial or 1
    room = Room(settings.storage.absolute(), max(1, cores_of_a_gpu(nodes) // cpus), cpus)
    found = [room.together(*job) for job in jobs]
    most = [fitting(m.used, m.total, room.cores) if m else 1 for m in found]
    count = min(worthwhile(m.rates, n) if m else 1 for m, n in zip(found, most, strict=True))
    # Ray counts in ten-thousandths.
    part = share(nodes, settings.cpus_per_trial, math.floor(1e4 / count) / 1e4)
    return Packing(part, tuple(m.of_one(count) if m else None for m in found))


class Room:
    """One device of a machine, on which trainings are tried side by side.

    Args:
        storage: the folder that remembers what was measured.
        cores: how many trainings have cores beside it.
        cpus: the cores of each.
        device: `cuda`, or `cpu`.
    """

    def __init__(self, storage: Path, cores: int, cpus: int, device: str = "cuda") -> None:
        self.cores = cores
        self._storage = storage
        self._cpus = cpus
        self._device = device
        self._card = card_of(device)
        self._known: list[tuple[dict[str, Any], Measured | None]] = []

    def together(self, config: TrainConfig, work: Work) -> Measured | None:
        """What such trainings do side by side, said in a line; None if not even one trains."""
        images = work.train, work.val
        about = {**cell_of(config, *images, work.teachers, work.seeds), **self._card}
        for other, found in self._known:
            if other == about:
                return found
        found = self._recalled_or_measured(config, work, about)
        self._known.append((about, found))
        return found

    def _recalled_or_measured(
        self, config: TrainConfig, work: Work, about: dict[str, Any]
    ) -> Measured | None:
        name, when = f"{config.method} on {short(config.backbone)}", "measured earlier"
        known = recall(self._storage, about)
        if known is None or undecided(known.rates, fitting(known.used, known.total, self.cores)):
            when = "measured now"
            print(f"{name}: measuring how many trials gain by sharing a GPU …", flush=True)
            try:
                known = measure(
                    config, work, cores=self.cores, cpus=self._cpus, device=self._device
                )
            except UnmeasurableError as error:
                why = visible(str(error))[:200]
                warn(f"{name}: a GPU for each trial, as none could be tried out: {why}.")
                return None
            keep(self._storage, about, known)
        most = fitting(known.used, known.total, self.cores)
        mps = "with" if about["mps"] else "without"
        print(f"{name}: {_found(known, most)} ({mps} MPS, {most} fit, {when}).", flush=True)
        return known


def _found(known: Measured, most: int) -> str:
    """What was found, where `most` trials fit on a GPU."""
    count = worthwhile(known.rates, most)
    if count > 1:
        times = known.rates[count] / known.rates[1]
        return f"{count} trials share a GPU, and take {times:.1f} times the steps of one"
    if most == 1:
        return "a GPU for each trial"
    times = known.rates.get(2, 0.0) / known.rates[1]
    return f"a GPU for each trial, as two would take {times:.1f} times the steps of one"


def cores_of_a_gpu(nodes: Sequence[Node]) -> int:
    """The cores that a machine has for each of its GPUs, where it has the fewest."""
    return min(int(n.get("CPU", 0) // n["GPU"]) for n in nodes if n.get("GPU", 0) >= 1)
