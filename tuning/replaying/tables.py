"""The tables that a sweep recorded, and what may stand in their columns."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from kd.config import EPOCHS
from kd.errors import UserError, brief

Row = dict[str, Any]


class _Column(NamedTuple):
    """A column of numbers, from `low` to `high`."""

    low: int
    high: int
    whole: bool = False

    def holds(self, value: Any) -> bool:
        kinds = (int,) if self.whole else (int, float)
        known = isinstance(value, kinds) and not isinstance(value, bool)
        return known and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a {'whole ' * self.whole}number from {self.low} to {self.high}"


TEXTS = ("state", "method", "backbone", "dataset")
NUMBERS = {
    "trial": _Column(0, 10**9, whole=True),
    "epoch": _Column(0, EPOCHS, whole=True),
    "epochs": _Column(1, EPOCHS, whole=True),
    "seeds": _Column(1, 100, whole=True),
    "val_acc": _Column(0, 100),
    "ece": _Column(0, 100),
    **dict.fromkeys(("seconds", "train_seconds", "started", "ended"), _Column(0, 10**12)),
}
"""What is read of the tables beside configurations; each may be empty where it is not needed."""


def read_table(path: Path, needed: Collection[str], key: Collection[str]) -> list[Row]:
    """The rows of a table, with what is `needed`, and no two of one `key`.

    Raises `UserError` for a file that is none, and for what no sweep has written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(
            f"{path.parent} has no {path.name}; write it: python -m tuning.report NAME, or give "
            "the folder of a sweep."
        )
    try:
        rows: list[Row] = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        raise UserError(
            f"{path} is no Parquet table, or damaged; write it again: python -m tuning.report NAME."
        ) from None
    missing = [name for name in needed if rows and name not in rows[0]]
    if missing:
        raise UserError(f"{path} has no column {missing[0]!r}; give one that a sweep has written.")
    known = set()
    for row in rows:
        own = tuple((name, row[name]) for name in key)
        wrong = _wrong(row, needed)
        if not wrong and own in known:
            wrong = " of ".join(f"{name} {value}" for name, value in reversed(own)) + " twice"
        if wrong:
            raise UserError(f"{path} has {wrong}; write it again: python -m tuning.report NAME.")
        known.add(own)
    return rows


def _wrong(row: Row, needed: Collection[str]) -> str:
    """What is wrong with a row, "" for nothing."""
    for name, value in row.items():
        if value is None and name not in needed:
            continue
        if name in TEXTS and not isinstance(value, str):
            return f"{name} {brief(value)}, which must be a text"
        if name in NUMBERS and not NUMBERS[name].holds(value):
            return f"{name} {brief(value)}, which must be {NUMBERS[name]}"
    return ""
