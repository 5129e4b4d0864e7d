"""The teachers of sweeps: trained first, by plain cross-entropy, where no file was given."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from kd.config import TrainConfig
from kd.errors import UserError
from tuning.engine.run import run_trials
from tuning.engine.share import Share
from tuning.reports.live_table import LiveTables
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
    path = folder / TEACHER if (folder / TEACHER).exists() else Path(config.teacher.weights or "")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"The teacher {path} cannot be read: {error.strerror}; put it back, or start a new "
            "sweep with another --teacher."
        ) from None


def teach(cells: Sequence[Cell], share: Share, folder: Path) -> list[Cell]:
    """The cells with their teachers; those that are missing are trained, all at once.

    Tune writes into `folder`. UserError where a teacher cannot be had.
    """
    missing = [cell for cell in cells if _trains_one(cell) and not _is_there(cell)]
    trained: dict[str, TrialRecord] = {}
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
            trained[cell.settings.name] = lane.searcher.records[0]
            _is_there(cell)
            lane.work.files.discard(0)
    return [_taught(cell, trained.get(cell.settings.name)) for cell in cells]


def _trains_one(cell: Cell) -> bool:
    base = cell.settings.base
    return base.needs_teacher and base.teacher.weights is None


def _is_there(cell: Cell) -> bool:
    """Whether the teacher's file is in the sweep's folder, moved there if it was just trained."""
    path = cell.settings.folder / TEACHER
    return path.exists() or cell.work_of(STUDY).files.take_student(0, path)


def _taught(cell: Cell, trained: TrialRecord | None) -> Cell:
    settings, base = cell.settings, cell.settings.base
    if _trains_one(cell):
        path = settings.folder / TEACHER
        if not path.exists():
            reason = trained.reason if trained else "it never began"
            raise UserError(f"The teacher could not be trained: {reason}; try another --teacher.")
        base = replace(base, teacher=replace(base.teacher, weights=str(path)))
    return replace(cell, base=base, teacher=read_teacher(settings.folder, base))
