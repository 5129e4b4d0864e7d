"""The teachers of sweeps: trained first, by plain cross-entropy, where no file was given."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from kd.config import TrainConfig
from kd.data import Images
from kd.errors import UserError
from kd.origin import Origin
from tuning.engine.run import run_trials
from tuning.engine.share import Share
from tuning.reports.live_table import LiveTables
from tuning.study.trials import TrialRecord
from tuning.sweeps.cell import Cell
from tuning.sweeps.listed import open_list

STUDY = "teacher"
TEACHER = "teacher.safetensors"


def sound_teacher(folder: Path, config: TrainConfig, train: Images) -> bytes | None:
    """The file of the teacher of a sweep in `folder`: its own one, or the one that it was given.

    None for a method without a teacher; UserError where the file cannot be read, or does not fit
    the images.
    """
    if not config.needs_teacher:
        return None
    from kd.training.teacher import load_teacher, read_teacher

    path = folder / TEACHER if (folder / TEACHER).exists() else Path(config.teacher.weights or "")
    remedy = "put it back, or start a new sweep with another --teacher"
    content = read_teacher(path, remedy)
    load_teacher(replace(config, teacher=replace(config.teacher, weights=str(path))), train)
    return content


def teach(cells: Sequence[Cell], share: Share, folder: Path) -> list[Cell]:
    """The cells with their teachers; those that `taught` did not find are trained, all at once.

    Tune writes into `folder`. UserError where a teacher cannot be had.
    """
    missing = [cell for cell in cells if cell.base.needs_teacher and cell.teacher is None]
    trained: dict[str, Cell] = {}
    if missing:
        live = LiveTables()
        with ExitStack() as opened:
            lanes = [
                open_list(
                    cell.settings,
                    [cell.settings.base.teacher_recipe()],
                    cell.work_of(STUDY),
                    opened,
                    live,
                )
                for cell in missing
            ]
            print("First the teacher.", flush=True)
            with live:
                run_trials(lanes, share, folder)
        for cell, lane in zip(missing, lanes, strict=True):
            trained[cell.settings.name] = _with_trained(cell, lane.searcher.records[0])
            lane.work.files.discard(0)
    return [trained.get(cell.settings.name, cell) for cell in cells]


def taught(cell: Cell) -> Cell:
    """The cell with its teacher, if that is there already; UserError if it is of no use."""
    base, own = cell.settings.base, cell.settings.folder / TEACHER
    if not base.needs_teacher:
        return cell
    if base.teacher.weights is None:
        if not _is_there(cell):
            return cell
        base = replace(base, teacher=replace(base.teacher, weights=str(own)))
    teacher = sound_teacher(cell.settings.folder, base, cell.train)
    return replace(cell, base=base, teacher=teacher)


def _is_there(cell: Cell) -> bool:
    """Whether the teacher's file is in the sweep's folder, moved there if it was just trained."""
    path = cell.settings.folder / TEACHER
    return path.exists() or cell.work_of(STUDY).files.take_student(0, path)


def _with_trained(cell: Cell, trained: TrialRecord) -> Cell:
    cell = taught(cell)
    if cell.teacher is None:
        reason = trained.reason or "its file is gone"
        raise UserError(
            f"The teacher could not be trained: {reason}; start a new sweep with another --teacher."
        )
    folder = cell.settings.folder
    Origin.load(folder).keep(folder, cell.origin)
    return cell
