"""The teachers of sweeps: trained first, by plain cross-entropy, where no file was given."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from kd.config import TrainConfig
from kd.errors import UserError
from kd.methods import config_class
from tuning.engine.run import run_trials
from tuning.engine.share import Share
from tuning.reports.live_table import LiveTables
from tuning.reports.wording import percent
from tuning.study.journal import has_trials, load_study, read_trials
from tuning.study.trials import TrialRecord
from tuning.sweeps.cell import Cell
from tuning.sweeps.listed import open_list

STUDY = "teacher"
TEACHER = "teacher.safetensors"


def read_teacher(folder: Path, config: TrainConfig) -> bytes | None:
    """The file of the teacher of a sweep in `folder`: its own one, or the one that it was given.

    None for a method without a teacher; UserError where the file cannot be read.
    """
    if not config.needs_teacher:
        return None
    from kd.training import teacher

    path = folder / TEACHER if (folder / TEACHER).exists() else Path(config.teacher.weights or "")
    remedy = "put it back, or start a new sweep with another --teacher"
    return teacher.read_teacher(path, remedy)


def ready(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with the teachers that are there already.

    UserError where images or a teacher are not what a sweep began with, or a teacher is of no
    use.
    """
    found = [_taught(cell) for cell in cells]
    for cell in found:
        cell.check_origin()
    for cell in found:
        if cell.teacher is not None:
            from kd.training.teacher import load_teacher

            load_teacher(cell.base, cell.train)
    return found


def teach(cells: Sequence[Cell], share: Share, folder: Path) -> list[Cell]:
    """The cells with their teachers; those that `ready` did not find are trained, all at once.

    Tune writes into `folder`. UserError where a teacher cannot be had.
    """
    missing = [cell for cell in cells if cell.untaught]
    trained: dict[str, Cell] = {}
    if missing:
        live = LiveTables()
        with ExitStack() as opened:
            lanes = [
                open_list(
                    cell.settings,
                    [_recipe(cell)],
                    cell.work_of(STUDY),
                    opened,
                    live,
                    names=["the teacher"],
                )
                for cell in missing
            ]
            for cell in missing:
                print(first_the_teacher(cell.settings.base), flush=True)
            with live:
                run_trials(lanes, share, folder)
        for cell, lane in zip(missing, lanes, strict=True):
            record = lane.searcher.records[0]
            if record.state == "completed":
                print(f"The teacher's val accuracy is {percent(record.score)}.", flush=True)
            trained[cell.settings.name] = _with_trained(cell, record)
            lane.work.files.discard(0)
    return [trained.get(cell.settings.name, cell) for cell in cells]


def first_the_teacher(base: TrainConfig) -> str:
    """Which network is trained before the students of `base`."""
    teacher = base.teacher_recipe()
    own = base.teacher.backbone is None and teacher.backbone == base.backbone
    why = ", the student's own backbone"
    if config_class(base.method).teacher == "network":
        why += ", as no larger one is known for it"
    return f"First the teacher: {teacher.backbone}{why if own else ''}."


def _recipe(cell: Cell) -> TrainConfig:
    """How its teacher is trained; one that was begun with the student's seed keeps that."""
    base = cell.settings.base
    recipe, path = base.teacher_recipe(), cell.settings.folder / f"{STUDY}.log"
    twin = replace(recipe, seed=base.seed)
    begun = read_trials(load_study(path, STUDY)) if path.exists() and has_trials(path) else []
    return twin if [trial.config for trial in begun] == [twin.to_dict()] else recipe


def _taught(cell: Cell) -> Cell:
    """The cell with its teacher, if that is there already; UserError if it cannot be read."""
    base, folder = cell.settings.base, cell.settings.folder
    if base.needs_teacher and base.teacher.weights is None:
        if not _is_there(cell):
            return cell
        base = replace(base, teacher=replace(base.teacher, weights=str(folder / TEACHER)))
    return replace(cell, base=base, teacher=read_teacher(folder, base))


def _is_there(cell: Cell) -> bool:
    """Whether the teacher's file is in the sweep's folder, moved there if it was just trained."""
    path = cell.settings.folder / TEACHER
    return path.exists() or cell.work_of(STUDY).files.take_student(0, path)


def _with_trained(cell: Cell, trained: TrialRecord) -> Cell:
    cell = _taught(cell)
    if cell.teacher is None:
        reason = trained.reason or "its file is gone"
        raise UserError(
            f"The teacher could not be trained: {reason}; start a new sweep with another --teacher."
        )
    cell.begin()
    return cell
