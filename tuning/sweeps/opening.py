"""The test set, opened once: noted before it is read, whatever ends the process meanwhile."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

from kd.config import parse
from kd.data import Dataset
from kd.errors import UserError, brief
from kd.files import replace_file
from tuning.records.findings import OPENING, Opening, one_line
from tuning.storage.trial_files import TrialFiles


def begin_opening(folder: Path, study: str, note: str) -> Opening:
    """Note in the sweep's folder that the test set is read from now on for `study`.

    One that was interrupted goes on: it is no other opening, as the students are the same.
    """
    path, note = _path(folder, study), one_line(note)
    if begun := _begun(path):
        print(
            f"The test set was opened for them before ({begun.when}), and what was read was not "
            "kept; the same students are measured again.",
            flush=True,
        )
        return begun if begun.note else replace(begun, note=note)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    opening = Opening(when=when, note=note)
    replace_file(path, json.dumps(asdict(opening)).encode(), None)
    return opening


def check_opening(folder: Path, study: str, note: str) -> None:
    """Raise UserError where the test set was opened for `study` with another note."""
    begun = _begun(_path(folder, study))
    if begun and begun.note and begun.note != one_line(note):
        raise UserError(
            f"The test set was opened again ({begun.when}) with the note '{brief(begun.note)}', "
            f"and what was read was not kept; type --again {quote(begun.note)} to end that first."
        )


def end_opening(folder: Path, study: str) -> None:
    """Forget the note: the findings hold it."""
    _path(folder, study).unlink(missing_ok=True)


def _begun(path: Path) -> Opening | None:
    """What was noted; of a damaged note when it was written."""
    if not path.exists():
        return None
    with suppress(OSError, ValueError, UserError):
        plain = json.loads(path.read_bytes())
        if isinstance(plain, dict):
            return parse(Opening, plain, str(path))
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Opening(when=written.isoformat(timespec="seconds"))


def _path(folder: Path, study: str) -> Path:
    return folder / f"{study}{OPENING}"


def open_test(
    dataset: Dataset,
    files: TrialFiles,
    students: Mapping[int, Sequence[str]],
    refit: TrialFiles | None,
) -> tuple[dict[int, list[dict[str, float]]], dict[str, float] | None]:
    """The test scores of the students of each trial, by its number, and of the last one."""
    from kd.training.checkpoint import load_weights
    from kd.training.evaluate import test_scores
    from kd.training.trainer import Place

    test, device = dataset.load_test(), Place.local().device

    def scores(own: TrialFiles, name: str) -> dict[str, float]:
        with own.shelf.fetched(name) as path:
            student, about = load_weights(path)
        normalise, seen = (tuple(about["mean"]), tuple(about["std"])), tuple(about["image_size"])
        return test_scores(student, test, normalise, device, seen)

    found = {number: [scores(files, name) for name in names] for number, names in students.items()}
    return found, scores(refit, refit.student(0)) if refit else None
