"""One trial: the training loop inside Ray Train, inside a Tune actor that is used again.

Everything a trial needs to go on after its machine died lies in its own files under the run
folder, keyed by the trial's number: Tune's snapshots are never read.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kd.data import Images
from kd.errors import UserError
from tuning.storage.patience import FULL, patiently
from tuning.storage.trial_files import TrialFiles

if TYPE_CHECKING:
    from kd.backbones.staged import StagedBackbone
    from kd.config import TrainConfig

Tell = Callable[[dict[str, Any]], None]
"""Passes one report of a trial on to Tune."""

CONTEXT = 512 * 2**20
"""Bytes that CUDA takes for a process beside PyTorch's own memory, generously."""


@dataclass(frozen=True)
class Work:
    """What the trials of one study train on, and where they write.

    `teacher` holds the file of the network that they learn from, which their machines lack.
    `compiled` says whether their steps are compiled.
    """

    train: Images
    val: Images
    files: TrialFiles
    teacher: bytes | None = None
    compiled: bool = False


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

    def loop() -> None:
        work, device = works[assignment["lane"]], "cuda" if gpus else "cpu"
        try:
            train_trial(assignment, work, cpus=cpus, device=device, tell=tune.report)
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


def train_trial(
    assignment: dict[str, Any], work: Work, *, cpus: int, device: str, tell: Tell
) -> None:
    """The trial's training, from its checkpoint if there is one.

    Called on every worker of the trial; all of them tell the same, and the first one writes.
    """
    import torch

    from kd.config import TrainConfig
    from kd.training import checkpoint
    from kd.training.teacher import describe
    from kd.training.trainer import DivergedError, Metrics, Place, State, Trainer

    torch.set_num_threads(cpus)
    number, shelf = int(assignment["trial"]), work.files.shelf
    latest, student = work.files.checkpoint(number), work.files.student(number)

    def after_epoch(metrics: Metrics, state: Callable[[], State]) -> None:
        if place.rank == 0:
            if trainer.epoch == config.epochs:
                about = describe(config, work.train, metrics)
                shelf.put(student, lambda p: checkpoint.save_weights(trainer.student, p, about))
            shelf.put(latest, lambda p: checkpoint.save(state(), p))
        if len(trainer.history) == resumed + 1 and trainer.remarks:
            note["remarks"] = trainer.remarks
        tell({"trial": number, **metrics, **note})
        note.clear()

    def begin() -> Trainer:
        return Trainer(config, work.train, work.val, place=place, teacher=teacher)

    config = TrainConfig.from_dict(assignment["config"])
    place = replace(Place.local(device), compiled=work.compiled)
    teacher, note = teacher_of(config, work), dict[str, Any]()
    trainer = begin()
    if shelf.exists(latest):
        try:
            with shelf.fetched(latest) as path:
                trainer.load_state(patiently(lambda: checkpoint.load(path, device)))
        except UserError:
            # Cut short by what ended the last process. Its epochs can be trained again.
            trainer, note["began_again"] = begin(), True
        for metrics in trainer.history:
            tell({"trial": number, **metrics})
    resumed = trainer.epoch
    try:
        trainer.fit(after_epoch)
    except DivergedError as error:
        score = {"epoch": error.epoch, "val_acc": 0.0}
        tell({"trial": number, **score, "diverged": True, "done": True})


def teacher_of(config: "TrainConfig", work: Work) -> "StagedBackbone | None":
    """The teacher of a trial: the one that came with the work, else the one of its file."""
    from kd.training.teacher import load_teacher

    if work.teacher is None:
        return load_teacher(config, work.train)
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as copy:
        copy.write(work.teacher)
        copy.flush()
        local = replace(config, teacher=replace(config.teacher, weights=copy.name))
        return load_teacher(local, work.train)


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
