"""One trial: the training loop inside Ray Train, inside a Tune actor that is used again.

Everything a trial needs to go on after its machine died lies in its own files under the run
folder, keyed by the trial's number: Tune's snapshots are never read.
"""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.backbones.sent import unpack
from kd.config import teacher_file
from kd.data import Images
from kd.errors import UserError
from tuning.engine.notice import GivenBackError, given_back, told_to_go
from tuning.storage.patience import FULL, patiently
from tuning.storage.trial_files import TrialFiles
from tuning.study.rules import Judged

if TYPE_CHECKING:
    from kd.config import TrainConfig
    from kd.parts.teacher import Teacher
    from kd.training.parallel import Place
    from tuning.engine.beginning import Beginning
    from tuning.engine.pooled import Pool

Tell = Callable[[dict[str, Any]], None]
"""Passes one report of a trial on to Tune; it ends the loop that Tune stops by its answer."""

CONTEXT = 512 * 2**20
"""Bytes that CUDA takes for a process beside PyTorch's own memory, generously."""


@dataclass(frozen=True)
class Work:
    """What the trials of one study train on, and where they write.

    `teachers` holds the files of the networks that they learn from, which their machines lack.
    `networks` holds the code of networks of one's own, by file.
    `judged` says when they may be stopped; at its rungs their state is written in any case.
    `compiled` says whether their steps are compiled; `seeds` on how many each of them trains.
    """

    train: Images
    val: Images
    files: TrialFiles
    teachers: tuple[bytes, ...] = ()
    networks: Mapping[str, bytes] = field(default_factory=dict)
    judged: Judged = field(default_factory=Judged)
    compiled: bool = False
    seeds: int = 1


def run_trial(assignment: dict[str, Any], *, works: Sequence[Work], cpus: int, gpus: float) -> None:
    """Train the configuration that the searcher assigned, reporting to Tune after every epoch.

    Args:
        assignment: `lane`, its study's place in `works`; `trial`, its number there; and
            `config`, a `TrainConfig.to_dict()`.
        works: of every study, its images, mapped from Ray's object store.
        cpus: threads that the trial may use.
        gpus: the share of a GPU that the trial holds; 0 trains on the CPU.
    """
    from ray import tune
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    left = False

    def loop() -> None:
        nonlocal left
        work, device = works[assignment["lane"]], "cuda" if gpus else "cpu"
        leaves = told_to_go()
        try:
            # This process may have ended a trial on a machine where Ray would begin none.
            if leaves():
                raise GivenBackError
            told = {"tell": tune.report, "leaves": leaves}
            train_trial(assignment, work, cpus=cpus, device=device, **told)
        except GivenBackError:
            left = True
        except Exception as error:
            if lost_device(error):
                raise
            last = ended_by(error, assignment)
            if 0 < gpus < 1 and _out_of_memory(error):
                last["starved"] = True
            tune.report(last)

    if 0 < gpus < 1:
        limit_memory(gpus)
    scaling = ScalingConfig(num_workers=0, use_gpu=gpus > 0)
    TorchTrainer(loop, scaling_config=scaling).fit()
    if left:
        raise given_back()


def train_trial(
    assignment: dict[str, Any],
    work: Work,
    *,
    cpus: int,
    device: str,
    tell: Tell,
    until_passed: Callable[[int], None] = lambda epoch: None,
    leaves: Callable[[], bool] = lambda: False,
) -> None:
    """The trial's training, from its checkpoint if there is one.

    Called on every worker of the trial; all of them tell the same, and the first one writes. Where
    `tell` returns before it is known whether the trial goes on after an epoch, `until_passed`
    waits for that. Where `leaves` says of one of them that its machine is told to go, the epoch is
    ended and the state written; then GivenBackError is raised on all of them.
    """
    import torch

    from kd.config import TrainConfig
    from kd.training.trainer import DivergedError, Metrics
    from tuning.engine.beginning import Beginning
    from tuning.engine.pooled import Pool
    from tuning.engine.trial_writer import TrialWriter

    torch.set_num_threads(cpus)
    unpack(work.networks)
    number = int(assignment["trial"])
    config, place = TrainConfig.from_dict(assignment["config"]), _place(device, work, cpus)
    teachers, note = teachers_of(config, work), dict[str, Any]()
    images = work.train, work.val
    begin = partial(Pool, config, *images, seeds=work.seeds, place=place, teachers=teachers)
    beginning = Beginning.of(config, work)
    pool, lost = _begun(begin, work.files, number, beginning)
    if lost:
        note["began_again"] = True
    for metrics in pool.history:
        tell({"trial": number, **metrics})
    resumed = pool.first.epoch

    def after_epoch(metrics: Metrics, state: object) -> None:
        # Of a phase before the main one nothing is told: it has no score.
        if metrics["epoch"]:
            if metrics["epoch"] == resumed + 1 and pool.remarks:
                note["remarks"] = pool.remarks
            writer.before_telling()
            tell({"trial": number, **metrics, **note})
            note.clear()
        elif beginning is not None:
            beginning.keep(pool)
        writer.after_telling(metrics)

    writer = TrialWriter(pool, work, number, until_passed, leaves)
    try:
        with writer.newest:
            pool.fit(after_epoch)
    except DivergedError as error:
        score = {"epoch": error.epoch, "val_acc": 0.0}
        tell({"trial": number, **score, "diverged": True, "done": True})


def _begun(
    begin: "Callable[[], Pool]", files: TrialFiles, number: int, beginning: "Beginning | None"
) -> "tuple[Pool, bool]":
    """A trial's training as far as it is there: from its checkpoint, or from what all begin with.

    And whether there is a checkpoint that cannot be read: what ended the last process cut it
    short. Its epochs can be trained again.
    """
    from kd.training import checkpoint

    pool, latest, lost = begin(), files.checkpoint(number), False
    if files.shelf.exists(latest):
        try:
            with files.shelf.fetched(latest) as path:
                pool.load_state(patiently(lambda: checkpoint.load(path)))
            return pool, False
        except UserError:
            pool, lost = begin(), True
    try:
        if beginning is not None:
            beginning.take(pool)
    except UserError:
        pool = begin()
    return pool, lost


def _place(device: str, work: Work, cpus: int) -> "Place":
    """Where a trial takes place; trials share a machine's memory as they share its cores."""
    from kd.training.parallel import Place

    beside = max(1, (os.cpu_count() or 1) // cpus)
    return replace(Place.local(device), beside=beside, compiled=work.compiled)


def teachers_of(config: "TrainConfig", work: Work) -> "list[Teacher]":
    """The teachers of a trial: those that came with the work, else those of its files."""
    from kd.training.teacher import load_teachers

    if not work.teachers:
        return load_teachers(config, work.train)
    with tempfile.TemporaryDirectory() as scratch:
        copies = [Path(scratch) / teacher_file(number) for number in range(len(work.teachers))]
        for copy, content in zip(copies, work.teachers, strict=True):
            copy.write_bytes(content)
        return load_teachers(config.with_teachers([str(copy) for copy in copies]), work.train)


def limit_memory(gpus: float) -> None:
    """Keep this process to its share of the GPU's memory.

    So the trial that takes more than it was given is the one that fails, and not a neighbour.
    """
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(max(gpus - CONTEXT / total, gpus / 2))


def ended_by(error: Exception, assignment: dict[str, Any]) -> dict[str, Any]:
    """The last report of a trial that an error ended.

    An OSError that outlasted all patience is the storage's: it says nothing of the configuration
    and would meet the next one too.
    """
    score = {"epoch": 0, "val_acc": float("nan")}
    last = {"trial": assignment["trial"], **score, "failed": sentence(error), "done": True}
    return {**last, "unstored": True} if isinstance(error, OSError) else last


def lost_device(error: Exception) -> bool:
    """Whether this process can compute no more on its GPU, so that the trial needs another one.

    A fault that ends one process's work on a GPU under MPS ends that of all others there, and
    until they are gone no new one is let in.
    """
    lost = type(error).__name__ in ("AcceleratorError", "NoDeviceError")
    return lost and not _out_of_memory(error)


def _out_of_memory(error: Exception) -> bool:
    """Whether there was too little memory for PyTorch, or for what CUDA needs beside it."""
    name = type(error).__name__
    return name == "OutOfMemoryError" or (
        name == "AcceleratorError" and "out of memory" in str(error)
    )


def sentence(error: Exception) -> str:
    """What is told of an error that ended a trial."""
    if isinstance(error, OSError):
        if error.errno in FULL:
            return "the disk is full; free some space"
        return f"the storage does not answer ({error}); mend it"
    if _out_of_memory(error):
        return "the GPU's memory is full; --set a smaller batch_size"
    return f"{type(error).__name__}: {error}".splitlines()[0]
