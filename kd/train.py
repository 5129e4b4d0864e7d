"""`python -m kd.train CONFIG.yaml`: train one configuration, without Ray.

The run folder then holds config.yaml, metrics.jsonl (one line an epoch), checkpoint.pt and
student.safetensors; teacher.safetensors too where a teacher was trained first, in teacher.pt
until then, and teacher-before-1.safetensors where that learnt from another one. A run that was
interrupted goes on from its checkpoint when the same command is typed again, with the images and
the teacher that origin.json tells from others.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kd.backbones.names import short
from kd.cli import run, shown
from kd.config import Ancestor, TeacherConfig, TrainConfig
from kd.data import check_dataset
from kd.errors import UserError, brief
from kd.files import replace_file
from kd.origin import Origin
from kd.progress import progress
from kd.run_folder import (
    REMEDY,
    check_folder,
    config_file,
    make_folder,
    run_name,
    run_origin,
    writing,
)
from kd.training.compiling import Compile, check_compiler, worth_compiling

if TYPE_CHECKING:
    from kd.data import Images
    from kd.training.trainer import Metrics, Place, State, Trainer

import tyro

THREADS = 1024


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Train one configuration, without Ray."""

    config: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CONFIG")]
    """A YAML or JSON file, or a sweep's folder; what it leaves out is as in the paper."""
    trial: Annotated[int | None, shown("N")] = None
    """Of a sweep's folder, this trial instead of what the sweep hands out."""
    output: Annotated[Path | None, shown("FOLDER")] = None
    """The run folder; the default is runs/train/ and the name of the file, or of the sweep."""
    device: Annotated[str | None, shown("DEVICE")] = None
    """cpu, cuda, cuda:1, …; the default is the GPU if there is one."""
    threads: int = 1
    """CPU threads; a sum's last digits depend on them, so a trial's score needs the trial's."""
    epochs: Annotated[int | None, shown("N")] = None
    """Train for another number of epochs than the file says."""
    data_root: Annotated[Path | None, shown("FOLDER")] = None
    """Where data sets are kept and downloaded to."""
    compile: Compile = "auto"
    """Compile the steps; auto does where that takes under a tenth of a GPU's training time."""


def train(flags: Flags) -> None:
    """Run the command line; every error of the user is found before the training starts."""
    if not 1 <= flags.threads <= THREADS:
        raise UserError(f"--threads is {brief(flags.threads)}; it must be from 1 to {THREADS}.")
    file = config_file(flags.config, flags.trial)
    config = TrainConfig.load(file)
    if not config.needs_teacher and config.teacher != TeacherConfig():
        raise UserError(
            f"{brief(file)} gives a teacher, and {config.method} learns from none; leave teacher: "
            "away."
        )
    if flags.epochs is not None:
        config = config.lasting(flags.epochs)
    remedy = f"put the images there, or change the line dataset: of {brief(file)}"
    info = check_dataset(config.dataset, flags.data_root, remedy, config.images)
    config.check_images(info)
    folder = flags.output or Path("runs/train") / run_name(file, flags.trial)
    with writing(folder):
        check_folder(folder, config)

    import torch

    from kd.data import open_dataset
    from kd.data.split import remarks, train_val
    from kd.training.memory import told
    from kd.training.parallel import Place
    from kd.training.teacher import check_teachers, load_teachers

    check_teachers(config, info)
    for line in remarks(info, config.split):
        print(line, flush=True)
    torch.set_num_threads(flags.threads)
    place = Place.local(flags.device)
    gpu = place.device.type == "cuda"
    check_compiler(flags.compile, gpu=gpu)
    images = open_dataset(config.dataset, flags.data_root, remedy, config.images).train
    origin, now = Origin.load(folder), run_origin(config, images)
    origin.require(now, f"the run in {brief(folder)}", REMEDY)
    training, val = train_val(images, config.split)
    steps = math.ceil(len(training) / config.batch_size)
    worth = gpu and worth_compiling(steps=steps, epochs=config.epochs)
    place = replace(place, compiled=worth if flags.compile == "auto" else flags.compile == "always")
    for each in (*(ancestor.recipe for ancestor in config.ancestors), config):
        if all(teacher.weights for teacher in each.teachers):
            load_teachers(each, training, say=print)
    memories = told(config, training, place)
    counted = f"{config.epochs} epoch{'s' * (config.epochs != 1)}"
    with writing(folder):
        make_folder(folder, config)
        origin.keep(folder, now)
        print(
            f"{config.method} · {short(config.backbone)} · {config.dataset}: "
            f"{len(training.labels)} training images, {len(val.labels)} val images, {counted} on "
            f"{place.device}",
            flush=True,
        )
        if memories is not None:
            print(memories)
        running = _taught(folder, config, training, val, place)
        _run(config, running, folder, training, val, place)


def _run(
    config: TrainConfig,
    running: TrainConfig,
    folder: Path,
    training: "Images",
    val: "Images",
    place: "Place",
) -> None:
    """The training of `running`, which is `config` with its teacher's file, and its files."""
    from kd.training import checkpoint
    from kd.training.teacher import describe, load_teachers
    from kd.training.trainer import Trainer

    teachers = load_teachers(running, training)
    trainer = Trainer(running, training, val, place=place, teachers=teachers)
    metrics = _fit(trainer, config.method, folder / "checkpoint.pt")
    lines = "".join(json.dumps(m) + "\n" for m in trainer.history)
    replace_file(folder / "metrics.jsonl", lines.encode(), REMEDY)
    student = folder / "student.safetensors"
    checkpoint.save_weights(trainer.student, student, describe(config, training, metrics))
    for sentence in config.caveats:
        print(sentence)
    found = f"val accuracy {metrics['val_acc']:.2f} % after epoch {trainer.epoch}"
    print(f"{found}; student: {student}")


def _taught(
    folder: Path, config: TrainConfig, training: "Images", val: "Images", place: "Place"
) -> TrainConfig:
    """`config` with the files of its teachers, which are trained first where none was given."""
    files = [teacher.weights for teacher in config.teachers]
    for line in config.lines:
        missing = takewhile(lambda ancestor: not (folder / ancestor.file).exists(), line)
        for ancestor in reversed(list(missing)):
            which = f" {ancestor.number + 1}" if len(config.teachers) > 1 else ""
            _train_first(folder, ancestor, training, val, place, which)
        nearest = line[0]
        files[nearest.number] = str(_whole(folder / nearest.file))
    return config.with_teachers(files) if config.teachers else config


def _train_first(
    folder: Path,
    ancestor: Ancestor,
    training: "Images",
    val: "Images",
    place: "Place",
    which: str,
) -> None:
    """Train a network from which others learn; the one that it learns from itself is there.

    `which` of several teachers it is, or leads to, is said.
    """
    from kd.training.teacher import train_teacher

    weights, recipe, title = folder / ancestor.file, ancestor.recipe, f"teacher{which}"
    if recipe.teachers:
        title = f"assistant{which}"
        print(
            f"Then the assistant, {short(recipe.backbone)}: {recipe.method} from the one before it."
        )
    if ancestor.own_teacher is not None:
        recipe = recipe.with_teachers([str(_whole(folder / ancestor.own_teacher))])
    latest = weights.with_suffix(".pt")
    _drop_other(latest, recipe)
    fit = partial(_fit, title=title, latest=latest)
    train_teacher(recipe, training, val, weights, place=place, fit=fit)


def _whole(weights: Path) -> Path:
    """The file of a teacher that can be read; what it was trained from is not needed any more."""
    from kd.training import checkpoint

    weights.with_suffix(".pt").unlink(missing_ok=True)
    try:
        checkpoint.load_weights(weights)
    except UserError:
        raise checkpoint.UnreadableError(weights) from None
    return weights


def _drop_other(latest: Path, recipe: TrainConfig) -> None:
    """Begin again a teacher that was begun by another recipe than today's, as it once was."""
    from kd.training import checkpoint

    if not latest.exists():
        return
    begun = TrainConfig.from_dict(checkpoint.load(latest)["config"], str(latest))
    if not begun.trains_as(recipe):
        latest.unlink()
        print("The teacher begins again: it was begun by another recipe.", flush=True)


def _fit(trainer: "Trainer", title: str, latest: Path) -> "Metrics":
    """Train to the last epoch, from the checkpoint `latest` if it is there, and keep it up to date.

    Returns the last epoch's metrics. UserError for a checkpoint that is of no use, and where the
    training diverges.
    """
    from kd.training import checkpoint
    from kd.training.trainer import DivergedError
    from kd.training.writer import CheckpointWriter

    epochs = trainer.config.epochs
    writer = CheckpointWriter(lambda state: checkpoint.save(state, latest))
    if latest.exists():
        trainer.load_state(checkpoint.load(latest))
        writer.saved = trainer.trained
        where = f"epoch {trainer.epoch} of {epochs}"
        if trainer.trained < trainer.before:
            where = f"epoch {trainer.trained} of {trainer.before} before the first one"
        print(f"{title}: going on after {where}")
    begun = trainer.epoch

    def report(metrics: "Metrics", state: "Callable[[], State]") -> None:
        try:
            for remark in trainer.remarks if len(trainer.history) == begun + 1 else ():
                print(remark, flush=True)
            if metrics["epoch"]:
                advance(metrics)
            else:
                print(
                    f"{title}: epoch {metrics['phase_epoch']:.0f} of "
                    f"{metrics['phase_epochs']:.0f} before the first one, "
                    f"loss {metrics['train_loss']:.3f}",
                    flush=True,
                )
            if trainer.epoch < epochs:
                writer.offer(trainer.trained, metrics["epoch_seconds"], state)
                return
        except KeyboardInterrupt:
            # Between two epochs the state is whole, and nothing has to be trained again.
            writer.finish(trainer.trained, state)
            raise
        writer.finish(trainer.trained, state)

    try:
        with progress(title, epochs, trainer.history) as advance, writer:
            return trainer.fit(report)
    except DivergedError as error:
        raise UserError(
            f"Training ({title}) ended: {error}; lower optimizer.lr or kd's weights."
        ) from None
    except KeyboardInterrupt:
        done = writer.saved - trainer.before
        there = f"goes on after epoch {done} of {epochs}"
        if done < 0:
            there = f"goes on after epoch {writer.saved} of {trainer.before} before the first one"
        print(f"\nStopped; the same command {there if writer.saved else 'begins again'}.")
        raise


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, train, argv)


if __name__ == "__main__":
    main()
