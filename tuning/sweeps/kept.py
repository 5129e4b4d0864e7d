"""What a storage keeps of teachers: trained once, and learnt from by every later sweep of the same.

Beside them lies what all trials of a method begin with (`engine/beginning`). A teacher is found
again by what it is: its recipe, seed and split included, the images, and the code of a network of
one's own. Both files of it are written in one step each, the weights last, so that what is found
is whole.
"""

import hashlib
import json
from functools import partial
from pathlib import Path

from kd.backbones.names import short
from kd.backbones.own import digests
from kd.config import TrainConfig, networks_of
from kd.data import DatasetName
from kd.data.config import sections_of_before
from kd.errors import UserError
from kd.files import remove, replace_file
from kd.screen import warn
from tuning.engine.beginning import Beginning
from tuning.records.naming import TEACHERS, made_of
from tuning.records.taught import BEGINNING, Taught
from tuning.reports.wording import count
from tuning.sweeps.cell import Cell

OF_STUDENTS = ("weight", "teacher")
"""What a teacher that learns from none has no use for."""


def place_of(storage: Path, recipe: TrainConfig, images: str) -> Path:
    """Where the teacher of that recipe on the images of that digest is kept.

    UserError where it learns from a file that cannot be read: of that its content counts.
    """
    plain = {**recipe.portable.to_dict(), "dataset": images}
    plain |= sections_of_before(plain)
    # The digest is of the images as they were read.
    del plain["images"]
    if not recipe.needs_teacher:
        # So that what was kept before a teacher had these is found again.
        plain["teacher"] = {n: v for n, v in plain["teacher"].items() if n not in OF_STUDENTS}
    if code := digests(networks_of(recipe)):
        # A network of one's own may be another one by now, under the same name.
        plain["code"] = code
    if files := [teacher.file for teacher in recipe.teachers if teacher.file]:
        from kd.training.teacher import read_teacher

        plain["files"] = [hashlib.blake2b(read_teacher(file)).hexdigest() for file in files]
    digest = hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=8).hexdigest()
    dataset = DatasetName.parse(recipe.dataset).published
    return (
        storage
        / TEACHERS
        / f"{made_of(f'{short(recipe.backbone)}-{dataset}')}-{digest}.safetensors"
    )


def keep(kept: Path, weights: Path) -> None:
    """Keep a trained teacher for later sweeps; a line where that is not possible."""
    try:
        kept.parent.mkdir(exist_ok=True)
        copy(weights, kept)
    except (OSError, UserError) as error:
        why = getattr(error, "strerror", None) or error
        warn(f"The teacher is not kept in {kept.parent} for later sweeps: {why}")


def take(kept: Path, weights: Path) -> Taught | None:
    """Let a sweep have the teacher that is kept, if there is a whole one; what it took."""
    from kd.training.checkpoint import load_weights

    if not kept.exists():
        return None
    try:
        load_weights(kept)
    except UserError:
        warn(f"{kept} is damaged, so that teacher is trained again.")
        remove(kept)
        return None
    copy(kept, weights)
    return Taught.beside(weights)


def lend(cell: Cell) -> None:
    """Let a sweep have what its trials begin with, if an earlier one of its storage kept it."""
    from kd.training import checkpoint

    beginning, folder = Beginning.of(cell.base, cell.work), cell.settings.folder
    if beginning is None or beginning.exists:
        return
    kept = _place_of(beginning, cell)
    if not kept.exists() or (known := Taught.beside(kept)) is None:
        return
    try:
        checkpoint.load(kept)
    except UserError:
        warn(f"{kept} is damaged, so what trials begin with is trained again.")
        remove(kept)
        return
    known.save(folder / BEGINNING)
    beginning.shelf.put(beginning.name, partial(_write, content=kept.read_bytes()))
    print(
        f"{cell.settings.name}: what its trials begin with is what {known.sweep} trained "
        f"({count(known.epochs, 'epoch')}).",
        flush=True,
    )


def keep_beginning(cell: Cell) -> None:
    """Keep what a sweep's trials began with for later ones; a line where that is not possible."""
    from kd.training import checkpoint

    beginning = Beginning.of(cell.base, cell.work)
    if beginning is None or not beginning.exists or (kept := _place_of(beginning, cell)).exists():
        return
    try:
        with beginning.shelf.fetched(beginning.name) as path:
            state, content = checkpoint.load(path), path.read_bytes()
        epochs, seconds = int(state["epochs"]), float(state["seconds"])
        took = Taught(
            sweep=cell.settings.name,
            epochs=epochs,
            seconds=seconds,
            epoch_seconds=seconds / epochs,
            val_acc=0.0,
        )
        kept.parent.mkdir(exist_ok=True)
        took.save(kept)
        _write(kept, content)
    except (OSError, UserError) as error:
        why = getattr(error, "strerror", None) or error
        warn(f"What its trials began with is not kept in {kept.parent} for later sweeps: {why}")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content, None)


def _place_of(beginning: Beginning, cell: Cell) -> Path:
    return cell.settings.storage / TEACHERS / Path(beginning.name).name


def copy(weights: Path, target: Path) -> None:
    """Copy a teacher's file, and before it what is said beside it."""
    if (known := Taught.beside(weights)) is not None:
        known.save(target)
    replace_file(target, weights.read_bytes(), None)
