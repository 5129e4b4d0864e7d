"""What it took to train a teacher: kept beside its file, in every sweep that learns from it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from kd.config import Section, parse, read_mapping
from kd.errors import UserError
from kd.files import replace_file
from kd.text import as_json
from tuning.records.result import trained
from tuning.study.trials import TrialRecord

STUDY = "teacher"
"""The study of a sweep's own teachers, and what the names of all files of teachers begin with."""
BEGINNING = f"{STUDY}-beginning.pt"
"""Beside what is no file of that name: what it took to train what all trials begin with."""


@dataclass(frozen=True, kw_only=True)
class Taught(Section):
    """A teacher's training: by which sweep, how many epochs, and what they took in seconds.

    `epoch_seconds` is the time of its last epoch, which has no start in it. `val_acc` is 0 of what
    has none.
    """

    sweep: str
    epochs: int
    seconds: float
    epoch_seconds: float
    val_acc: float

    @classmethod
    def of(cls, sweep: str, record: TrialRecord) -> Self:
        """What the study of a sweep holds of one that is trained."""
        last = record.metrics.get("epoch_seconds", record.seconds / max(record.epoch, 1))
        return cls(
            sweep=sweep,
            epochs=record.epoch,
            seconds=record.seconds,
            epoch_seconds=last,
            val_acc=record.score or 0.0,
        )

    @classmethod
    def beside(cls, weights: Path) -> Self | None:
        """What is said beside a file of weights; None where nothing is that can be read."""
        with suppress(OSError, UserError):
            path = weights.with_suffix(".json")
            return parse(cls, read_mapping(path), str(path)) if path.exists() else None
        return None

    def save(self, weights: Path) -> None:
        """Write it beside a file of weights."""
        text = as_json(asdict(self), indent=2) + "\n"
        replace_file(weights.with_suffix(".json"), text.encode(), None)


def taught(folder: Path) -> Sequence[Taught]:
    """What the teachers took that were trained for the sweep in `folder`, or for one before it.

    And what all its trials begin with, where an earlier sweep trained that.
    """
    files = sorted(folder.glob(f"{STUDY}*.safetensors"))
    known = [found for file in files if (found := Taught.beside(file))]
    # A sweep of before has its study alone.
    known = known or [Taught.of(folder.name, record) for record in trained(folder, STUDY)]
    begun = Taught.beside(folder / BEGINNING)
    return [*known, begun] if begun else known
