"""The teachers of sweeps: trained first, by plain cross-entropy, where no file was given."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from kd.config import TrainConfig, teacher_file
from kd.errors import UserError
from kd.methods import config_class
from kd.screen import warn
from tuning.engine.run import run_trials
from tuning.engine.share import Share
from tuning.records.result import trained
from tuning.records.taught import STUDY, Taught
from tuning.reports.live_table import LiveTables
from tuning.reports.wording import count, percent
from tuning.study.journal import has_trials, load_study, read_trials
from tuning.study.trials import TrialRecord
from tuning.sweeps.cell import Cell
from tuning.sweeps.kept import keep, place_of, take
from tuning.sweeps.listed import open_list


def read_teachers(folder: Path, config: TrainConfig) -> tuple[bytes, ...]:
    """The files of the teachers of a sweep in `folder`: its own, or those that it was given.

    Empty for a method without a teacher; UserError where a file cannot be read.
    """
    if not config.teachers:
        return ()
    from kd.training import teacher

    own = [folder / teacher_file(number) for number in range(len(config.teachers))]
    paths = [
        path if path.exists() else Path(given.weights or "")
        for path, given in zip(own, config.teachers, strict=True)
    ]
    remedy = "put it back, or start a new sweep with another --teacher"
    return tuple(teacher.read_teacher(path, remedy) for path in paths)


def ready(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with the teachers that are there already.

    UserError where images or a teacher are not what a sweep began with, or a teacher is of no
    use.
    """
    found = [_taught(cell) for cell in cells]
    for cell in found:
        cell.check_origin()
    for cell in found:
        if cell.teachers:
            from kd.training.teacher import load_teachers

            # Of one that the sweep trained itself, it is known.
            load_teachers(cell.base, cell.train, say=None if _untaught(cell) else warn)
    return found


def teach(cells: Sequence[Cell], share: Share, folder: Path) -> list[Cell]:
    """The cells with their teachers; those that `ready` did not find are trained, all at once.

    One that several cells learn from is trained for the first of them. Tune writes into `folder`.
    UserError where a teacher cannot be had.
    """
    found = list(cells)
    while missing := [cell for cell in found if cell.untaught]:
        now = _train(_first_of_their_kind(missing), share, folder)
        found = [now.get(cell.settings.name, cell) for cell in found]
        found = [_begun(cell) if cell.untaught else cell for cell in found]
    return found


def _first_of_their_kind(cells: Sequence[Cell]) -> list[Cell]:
    """The cells of which none waits for a teacher that one before it waits for."""
    first: list[Cell] = []
    awaited: set[Path] = set()
    for cell in cells:
        own = {_kept(cell, number) for number in _untaught(cell)}
        if not own & awaited:
            first.append(cell)
        awaited |= own
    return first


def _train(cells: Sequence[Cell], share: Share, folder: Path) -> dict[str, Cell]:
    """The cells, by their names, with their teachers, which are trained all at once."""
    live = LiveTables()
    with ExitStack() as opened:
        lanes = [
            open_list(
                cell.settings,
                [_recipe(cell, number) for number in _untaught(cell)],
                cell.work_of(STUDY),
                opened,
                live,
                names=partial(_name, _names(cell)),
            )
            for cell in cells
        ]
        for cell in cells:
            for number in _untaught(cell):
                print(first_the_teacher(cell.settings.base, number), flush=True)
        with live:
            run_trials(lanes, share, folder)
    found = {}
    for cell, lane in zip(cells, lanes, strict=True):
        records = [lane.searcher.records[n] for n in range(len(lane.searcher.records))]
        for called, record in zip(_names(cell), records, strict=True):
            if record.state == "completed":
                score = percent(record.score)
                print(f"{called[0].upper()}{called[1:]}'s val accuracy is {score}.", flush=True)
        found[cell.settings.name] = _with_trained(cell, records)
        for record in records:
            lane.work.files.discard(record.number)
    return found


def _untaught(cell: Cell) -> list[int]:
    """The numbers of the teachers that no file was given for."""
    given = [teacher.weights for teacher in cell.settings.base.teachers]
    return [number for number, weights in enumerate(given) if weights is None]


def _name(names: Sequence[str], training: TrialRecord) -> str:
    return names[training.number]


def _names(cell: Cell) -> list[str]:
    """What its teachers that are trained are called where they are shown."""
    numbers = _untaught(cell)
    return ["the teacher"] if numbers == [0] else [f"teacher {number + 1}" for number in numbers]


def first_the_teacher(base: TrainConfig, number: int = 0) -> str:
    """Which network is trained, as teacher `number`, before the students of `base`."""
    teacher = base.teacher_recipe(number)
    own = base.teachers[number].backbone is None and teacher.backbone == base.backbone
    why = ", the student's own backbone"
    if config_class(base.method).teacher == "network":
        why += ", as no larger one is known for it"
    return f"First the teacher: {teacher.backbone}{why if own else ''}."


def _recipe(cell: Cell, number: int) -> TrainConfig:
    """How its teacher `number` is trained; one that was begun by another recipe keeps that."""
    recipe, path = cell.settings.base.teacher_recipe(number), cell.settings.folder / f"{STUDY}.log"
    begun = read_trials(load_study(path, STUDY)) if path.exists() and has_trials(path) else []
    place = _untaught(cell).index(number)
    if len(begun) <= place:
        return recipe
    return replace(TrainConfig.from_dict(begun[place].config), dataset=recipe.dataset)


def _taught(cell: Cell) -> Cell:
    """The cell with its teachers, if they are there already; UserError if one cannot be read."""
    base, folder = cell.settings.base, cell.settings.folder
    if not base.needs_teacher or not all(_is_there(cell, number) for number in _untaught(cell)):
        return cell
    files = [given.weights for given in base.teachers]
    for number in _untaught(cell):
        files[number] = str(folder / teacher_file(number))
    base = base.with_teachers(files)
    return replace(cell, base=base, teachers=read_teachers(folder, base))


def _is_there(cell: Cell, number: int) -> bool:
    """Whether a teacher's file is in the sweep's folder.

    It is put there if it was just trained, or if the storage keeps one of the same kind.
    """
    settings, place = cell.settings, _untaught(cell).index(number)
    path, kept = settings.folder / teacher_file(number), _kept(cell, number)
    if path.exists():
        return True
    if cell.work_of(STUDY).files.take_student(place, path):
        for record in trained(settings.folder, STUDY)[place : place + 1]:
            Taught.of(settings.name, record).save(path)
        keep(kept, path)
    elif (known := take(kept, path)) is not None:
        called = _names(cell)[place]
        print(
            f"{called[0].upper()}{called[1:]}, {_recipe(cell, number).backbone}, is the one that "
            f"{known.sweep} trained ({count(known.epochs, 'epoch')}, val accuracy "
            f"{percent(known.val_acc)}).",
            flush=True,
        )
    return path.exists()


def _kept(cell: Cell, number: int) -> Path:
    """Where its teacher `number` is kept for later sweeps."""
    return place_of(cell.settings.storage, _recipe(cell, number), cell.images)


def _begun(cell: Cell) -> Cell:
    """The cell with its teachers, if they are there by now; then it has begun with them."""
    found = _taught(cell)
    if found.teachers:
        found.begin()
    return found


def _with_trained(cell: Cell, trained: Sequence[TrialRecord]) -> Cell:
    cell = _begun(cell)
    if not cell.teachers:
        reasons = [record.reason for record in trained if record.state != "completed"]
        reason = next(filter(None, reasons), "its file is gone")
        raise UserError(
            f"The teacher could not be trained: {reason}; start a new sweep with another --teacher."
        )
    return cell
