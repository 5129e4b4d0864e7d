"""An ablation, which is asked for by `--grid FILE`: a sweep over the rows of a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from kd.config import read_mapping
from kd.errors import UserError, unknown
from kd.methods import config_class
from tuning.records.options import Options
from tuning.study.sampling import GRID
from tuning.study.warm import NONE

OF_ROWS: dict[str, Any] = {"sampler": GRID, "scheduler": "none", "seeds_per_trial": 3}
"""The options of an ablation where nobody says otherwise."""
_ANYWAY = {"sampler": GRID, "warm_start": NONE, "scheduler": "none", "check_rungs": 0}
"""What flags may say though they are in the way at any other value."""
_ITSELF = ("space", "trials", "search_optimizer", "sampler", "warm_start")
"""Flags that say what is tried, which the file does."""
_TO_ITS_END = ("scheduler", "grace_period", "reduction_factor", "check_rungs", "epochs_total",
               "hours", "gpu_hours", "cost")  # fmt: skip
"""Flags that end a training or a search early."""
_KEYS = ("method", "rows")

Files = Mapping[str, Mapping[str, Any]]
"""What was given as a mapping in the place of a file, by the names of the flags."""


def content(name: str, path: Path | None, files: Files | None) -> dict[str, Any]:
    """What the file of flag `name` holds, or the mapping in its place; nothing without either."""
    if files and name in files:
        return dict(files[name])
    return read_mapping(path) if path else {}


@dataclass(frozen=True)
class Ablation:
    """Rows of a `method`: by their labels, names and values of what differs from the default."""

    method: str
    rows: dict[str, Any]

    @classmethod
    def read(cls, path: Path, files: Files | None, methods: Sequence[str]) -> Self:
        """What `path`, or the mapping in its place, asks for; UserError unless `methods` fit.

        What the rows hold is checked where they become a space (`search_spaces.load_rows`).
        """
        found = content("grid", path, files)
        if strange := [key for key in found if key not in _KEYS]:
            raise UserError(f"{path}: {unknown('key', strange[0], _KEYS)}")
        method, rows = found.get("method"), found.get("rows")
        if not isinstance(method, str):
            raise UserError(f"{path} says no method; add a line `method: NAME`.")
        try:
            config_class(method)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        if not isinstance(rows, dict) or not rows:
            raise UserError(
                f"{path} has no rows; add `rows:`, and below it a line for each, "
                "`LABEL: {NAME: VALUE}`."
            )
        for other in methods:
            config_class(other)
            if other != method:
                raise UserError(
                    f"{path} holds rows of {method}, and {other} is asked for; leave it away, or "
                    f"give a file of {other}."
                )
        return cls(method, rows)


def check_alone(given: Iterable[tuple[str, Any]]) -> None:
    """Raise UserError for a flag that goes with no ablation; `given` are (name, value)."""
    for name, value in given:
        if _ANYWAY.get(name) == value:
            continue
        flag = f"--{name.replace('_', '-')}"
        if name in _ITSELF:
            raise UserError(
                f"An ablation tries the rows of its file, all of them; leave {flag} away."
            )
        if name in _TO_ITS_END:
            raise UserError(f"An ablation trains every row to its end; leave {flag} away.")


def as_rows(options: Options) -> Options:
    """`options` as an ablation has them."""
    seeds = options.seeds_per_trial
    own = OF_ROWS if seeds is None else OF_ROWS | {"seeds_per_trial": seeds}
    return replace(options, **own)
