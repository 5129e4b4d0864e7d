"""The teachers of sweeps: trained first where no file was given, and before them their own."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path

from kd.backbones.names import short
from kd.config import Ancestor, TrainConfig, teacher_file
from kd.errors import UserError
from kd.screen import warn
from tuning.engine.run import run_trials
from tuning.engine.share import Share
from tuning.records.result import trained
from tuning.records.taught import Taught
from tuning.records.teaching import called, first_the_teacher
from tuning.reports.live_table import LiveTables
from tuning.reports.wording import count, percent
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
    from kd.training.teacher import load_teachers

    for cell in found:
        if cell.teachers:
            # Of one that the sweep trained itself, it is known.
            own = cell.settings.base.ancestors
            load_teachers(cell.base, cell.train, say=None if own else warn)
            continue
        for recipe in (ancestor.recipe for ancestor in cell.base.ancestors):
            if all(teacher.weights for teacher in recipe.teachers):
                load_teachers(recipe, cell.train, say=warn)
    return found


def teach(cells: Sequence[Cell], share: Share, folder: Path) -> list[Cell]:
    """The cells with their teachers; those that `ready` did not find are trained.

    All at once that can be: one that learns from another comes after that, and one that several
    cells learn from is trained for the first of them. Tune writes into `folder`. UserError where a
    teacher cannot be had.
    """
    found = list(cells)
    while missing := [cell for cell in found if cell.untaught]:
        _train(_first_of_their_kind(missing), share, folder)
        found = [_begun(cell) if cell.untaught else cell for cell in found]
    return found


def _first_of_their_kind(cells: Sequence[Cell]) -> list[tuple[Cell, Ancestor]]:
    """What can be trained now for the cells, each once: what it learns from itself is there."""
    first: dict[Path, tuple[Cell, Ancestor]] = {}
    for cell in cells:
        for line in cell.settings.base.lines:
            if missing := _missing(cell, line):
                first.setdefault(_kept(cell, missing[-1]), (cell, missing[-1]))
    return list(first.values())


def _missing(cell: Cell, line: Sequence[Ancestor]) -> list[Ancestor]:
    """What of a line, the teacher first, is to be trained, so that the teacher is there."""
    return list(takewhile(lambda own: not _path(cell, own).exists(), line))


def _train(each: Sequence[tuple[Cell, Ancestor]], share: Share, folder: Path) -> None:
    """Train all of them at once, and put each into its sweep's folder."""
    from kd.training.teacher import doubts

    live = LiveTables()
    with ExitStack() as opened:
        lanes = [
            open_list(
                cell.settings,
                [_recipe(cell, ancestor)],
                replace(
                    cell.work_of(Path(ancestor.file).stem), teachers=_own_teacher(cell, ancestor)
                ),
                opened,
                live,
                names=partial(_name, called(cell.settings.base, ancestor)),
            )
            for cell, ancestor in each
        ]
        for cell, ancestor in each:
            print(first_the_teacher(cell.settings.base, ancestor), flush=True)
        with live:
            run_trials(lanes, share, folder)
    for (cell, ancestor), lane in zip(each, lanes, strict=True):
        record = lane.searcher.records.get(0)
        done = record is not None and record.state == "completed"
        if record is not None and done:
            name = called(cell.settings.base, ancestor)
            print(f"{_capital(name)}'s val accuracy is {percent(record.score)}.", flush=True)
            if why := doubts({"val_acc": record.score}, cell.train):
                warn(f"{_capital(name)} {why}; give its training more epochs or another rate.")
        if not _is_there(cell, ancestor):
            reason = record.reason if record is not None and not done else None
            raise UserError(
                f"The teacher could not be trained: {reason or 'its file is gone'}; start a new "
                "sweep with another --teacher."
            )
        lane.work.files.discard(0)


def _name(name: str, training: TrialRecord) -> str:
    return name


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _recipe(cell: Cell, ancestor: Ancestor) -> TrainConfig:
    """How it is trained; one that was begun by another recipe keeps that."""
    recipe, study = ancestor.recipe, Path(ancestor.file).stem
    begun = trained(cell.settings.folder, study)
    if not begun:
        return recipe
    return replace(TrainConfig.from_dict(begun[0].config), dataset=recipe.dataset)


def _own_teacher(cell: Cell, ancestor: Ancestor) -> tuple[bytes, ...]:
    """The file that it learns from itself, if it does."""
    from kd.training.teacher import read_teacher

    if ancestor.own_teacher is not None:
        return (read_teacher(cell.settings.folder / ancestor.own_teacher),)
    return tuple(read_teacher(teacher.weights or "") for teacher in ancestor.recipe.teachers)


def _taught(cell: Cell) -> Cell:
    """The cell with its teachers, if they are there already; UserError if one cannot be read."""
    base, folder = cell.settings.base, cell.settings.folder
    # Those before them too, as far as they are kept: what they took is a part of the cost.
    there = {ancestor.file: _is_there(cell, ancestor) for ancestor in base.ancestors}
    nearest = [line[0] for line in base.lines]
    if not base.needs_teacher or not all(there[ancestor.file] for ancestor in nearest):
        return cell
    files = [given.weights for given in base.teachers]
    for ancestor in nearest:
        files[ancestor.number] = str(_path(cell, ancestor))
    base = base.with_teachers(files)
    return replace(cell, base=base, teachers=read_teachers(folder, base))


def _path(cell: Cell, ancestor: Ancestor) -> Path:
    """Its file in the sweep's folder."""
    return cell.settings.folder / ancestor.file


def _is_there(cell: Cell, ancestor: Ancestor) -> bool:
    """Whether its file is in the sweep's folder.

    It is put there if it was just trained, or if the storage keeps one of the same kind.
    """
    settings, path = cell.settings, _path(cell, ancestor)
    if path.exists() and Taught.beside(path) is not None:
        return True
    kept = _kept(cell, ancestor)
    # A kill may have come between the file and what is said beside it.
    if path.exists() or cell.work_of(path.stem).files.take_student(0, path):
        for record in trained(settings.folder, path.stem)[:1]:
            Taught.of(settings.name, record).save(path)
            keep(kept, path)
    elif (known := take(kept, path)) is not None:
        backbone = short(_recipe(cell, ancestor).backbone)
        print(
            f"{_capital(called(settings.base, ancestor))}, {backbone}, is "
            f"the one that {known.sweep} trained ({count(known.epochs, 'epoch')}, val accuracy "
            f"{percent(known.val_acc)}).",
            flush=True,
        )
    return path.exists()


def _kept(cell: Cell, ancestor: Ancestor) -> Path:
    """Where it is kept for later sweeps."""
    return place_of(cell.settings.storage, _recipe(cell, ancestor), cell.images)


def _begun(cell: Cell) -> Cell:
    """The cell with its teachers, if they are there by now; then it has begun with them."""
    found = _taught(cell)
    if found.teachers:
        found.begin()
    return found
