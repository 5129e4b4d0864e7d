"""Curves that finished sweeps recorded: their trials.parquet and curves.parquet.

A drawn configuration takes the curves of the nearest recorded one among those that were trained
to their last epoch: nearest in the unit cube of the space, by the sum of squared differences,
where two choices that differ are 1 apart. The truth is the mean of its last scores over the
seeds that it was recorded with. So a search finds what is in the tables, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from kd.config import TrainConfig
from kd.errors import UserError, brief
from search_spaces import Choice, Domain, Range, RangeAbove, Space, load_space
from tuning.records.settings import FILE, SweepSettings
from tuning.replaying.tables import Row, read_table
from tuning.study.cube import Cube, FloatArray
from tuning.study.objectives import VAL_ACC, Objectives, losses

TRIALS, CURVES = "trials.parquet", "curves.parquet"
SECTIONS = ("kd", "optimizer", "augment")
"""The parts of a configuration that may be searched; and the fields of `WHOLE`."""
WHOLE = ("batch_size", "precision", "history")
CELL = ("method", "backbone", "dataset", "epochs")
"""What all tables must have in common; and on how many `SEEDS` each trial was trained."""
SEEDS = "seeds"
TOLD = ("ece", "train_seconds")
"""The objectives that a table of curves may have a column for, beside val accuracy."""


@dataclass(frozen=True)
class Entry:
    """One recorded configuration: a curve of shape (epochs,) for each training of it.

    So for `told`, by the names of objectives. `seconds` is how long an epoch took, 1 where that
    was not recorded.
    """

    curves: tuple[FloatArray, ...]
    told: tuple[dict[str, FloatArray], ...]
    truth: float
    seconds: float


class Recorded:
    """The curves of the sweeps at `paths`: folders, or one of the two tables in them each.

    The space and the paper's default are those of the first sweep; where its folder holds no
    sweep.yaml, what varies in the tables is the space. Raises `UserError` for what is no table,
    tables of several cells, and where no trial is completed.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        tables = [_read(path) for path in paths]
        _check_same(tables)
        self.name = ", ".join(
            dict.fromkeys(table.folder.name or str(table.folder) for table in tables)
        )
        first = tables[0]
        self.base = _default_of(first)
        self.seeds = int(first.rows[0].get(SEEDS) or 1)
        self.space = first.space or _space_of(tables, self.base)
        self.cube = Cube(self.space)
        self._points, self._entries = _entries(tables, self.cube, self.base.epochs)

    def curve(self, config: TrainConfig, seed: int) -> FloatArray:
        """A curve of the nearest recorded configuration; of several seeds one drawn by `seed`."""
        entry, which = self._training(config, seed)
        return entry.curves[which]

    @property
    def offers(self) -> tuple[str, ...]:
        """Those that every training has told of."""
        told = [told for entry in self._entries for told in entry.told]
        return (VAL_ACC.name, *(name for name in TOLD if all(name in one for one in told)))

    def told(self, config: TrainConfig, seed: int, name: str) -> FloatArray:
        """Of the training whose curve it is."""
        entry, which = self._training(config, seed)
        return entry.told[which][name]

    def reached(self, objectives: Objectives) -> FloatArray:
        """By what all recorded trainings came to at their end, seed by seed."""
        last, rows = self.base.epochs, []
        for entry in self._entries:
            for curve, told in zip(entry.curves, entry.told, strict=True):
                by_epoch = enumerate(zip(*told.values(), strict=True), 1)
                epochs = {e: dict(zip(told, values, strict=True)) for e, values in by_epoch}
                rows.append(losses(objectives, {last: curve[-1]}, epochs)[last])
        return np.array(rows)

    def truth(self, config: TrainConfig) -> float:
        """The mean last score of the nearest recorded configuration, in percent."""
        return self._entries[self.nearest(config)].truth

    def best(self) -> float:
        """The highest truth that was recorded, in percent."""
        return max(entry.truth for entry in self._entries)

    def seconds(self, config: TrainConfig) -> float:
        """How long an epoch of the nearest recorded configuration took."""
        return self._entries[self.nearest(config)].seconds

    def _training(self, config: TrainConfig, seed: int) -> tuple[Entry, int]:
        nearest = self.nearest(config)
        entry = self._entries[nearest]
        which = np.random.default_rng((seed, nearest)).integers(len(entry.curves))
        return entry, int(which)

    def nearest(self, config: TrainConfig) -> int:
        """Which recorded configuration is nearest; the first of several that are as near."""
        away = np.abs(self._points - self.cube.point(config))
        away[:, self.cube.is_choice] = away[:, self.cube.is_choice] > 0
        return int((away**2).sum(1).argmin())

    def __len__(self) -> int:
        return sum(len(entry.curves) for entry in self._entries)


# -- files -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    folder: Path
    rows: list[Row]
    configs: list[TrainConfig]
    curves: dict[int, dict[str, dict[int, float]]]
    space: Space | None

    @property
    def cell(self) -> tuple[Any, ...]:
        return tuple(self.rows[0][name] for name in CELL)


def _read(path: Path) -> _Table:
    """The tables that `path` names, and the space of the sweep that they lie in."""
    if not path.exists():
        raise UserError(f"There is no {brief(path)}; give the folder of a sweep, or its {TRIALS}.")
    if not path.is_dir() and path.name not in (TRIALS, CURVES):
        raise UserError(f"{brief(path)} is no {TRIALS} or {CURVES}; give one, or a sweep's folder.")
    folder = path if path.is_dir() else path.parent
    rows = read_table(folder / TRIALS, ("trial", "state", *CELL), key=("trial",))
    points = read_table(folder / CURVES, ("trial", "epoch", "val_acc"), key=("trial", "epoch"))
    if not rows:
        raise UserError(f"{folder / TRIALS} has no trials; give a sweep that was finished.")
    curves: dict[int, dict[str, dict[int, float]]] = {}
    for point in points:
        for name in (VAL_ACC.name, *TOLD):
            if point.get(name) is not None:
                course = curves.setdefault(point["trial"], {}).setdefault(name, {})
                course[point["epoch"]] = point[name]
    space = None
    if (folder / FILE).exists():
        whole = folder.absolute()
        space = SweepSettings.load(whole.parent, whole.name).space()
    configs = [_config(row, folder) for row in rows]
    return _Table(folder, rows, configs, curves, space)


def _check_same(tables: Sequence[_Table]) -> None:
    first = tables[0]
    for table in tables:
        for row in table.rows:
            for name in (*CELL, SEEDS):
                # Tables of before have no column of seeds.
                own, its = (one.get(name) or 1 for one in (first.rows[0], row))
                if own != its:
                    raise UserError(
                        f"{table.folder} has {name} {its!r}, and {first.folder} has {own!r}; give "
                        "tables of one cell and as many epochs."
                    )


# -- configurations ----------------------------------------------------------------------------


def _default_of(table: _Table) -> TrainConfig:
    """The configuration of trial 0, which is the paper's default."""
    for row, config in zip(table.rows, table.configs, strict=True):
        if row["trial"] == 0:
            return config
    raise UserError(f"{table.folder / TRIALS} has no trial 0; give one that a sweep has written.")


def _config(row: Row, where: Path) -> TrainConfig:
    """The configuration that a row holds, in columns with dotted names."""
    heads = {field.name for field in fields(TrainConfig)}
    held = {name: v for name, v in row.items() if v is not None and name.split(".")[0] in heads}
    plain: dict[str, Any] = {}
    for dotted, value in held.items():
        if within := next((name for name in held if dotted.startswith(f"{name}.")), None):
            raise UserError(
                f"{where / TRIALS} has columns {within!r} and {dotted!r}; give one that a sweep "
                "has written."
            )
        part, (*above, last) = plain, dotted.split(".")
        for key in above:
            part = part.setdefault(key, {})
        part[last] = value
    return TrainConfig.from_dict(_listed(plain), str(where / TRIALS))


def _listed(value: Any) -> Any:
    """Nested values, where what has numbers for keys is a list: `kd.lambda_b.0`."""
    if not isinstance(value, dict):
        return value
    places = [str(place) for place in range(len(value))]
    if value and value.keys() == set(places):
        return [_listed(value[place]) for place in places]
    return {key: _listed(inner) for key, inner in value.items()}


def _space_of(tables: Sequence[_Table], base: TrainConfig) -> Space:
    """What varies in the tables: in the method's own range where it has one, else as it varies."""
    usual = load_space(base.method, base.backbone, optimizer=True)
    held = [
        (row, config.flat())
        for table in tables
        for row, config in zip(table.rows, table.configs, strict=True)
    ]
    values: dict[str, list[Any]] = {}
    for name in dict.fromkeys(chain(base.flat(), *(flat for _, flat in held))):
        head, _, rest = name.partition(".")
        if (head in SECTIONS and rest) or name in WHOLE:
            # Tables of before lack columns of today, and a list may be shorter than another one.
            there = (f for row, f in held if name not in f or row.get(name) is not None)
            values[name] = sorted({flat.get(name) for flat in there}, key=str)
    varying = {name: seen for name, seen in values.items() if len(seen) > 1}
    if not varying:
        where = tables[0].folder / TRIALS
        raise UserError(f"{where} has one configuration alone; give a sweep of several.")
    domains = dict(usual.domains)
    # What a range starts at stays beside it.
    starts = {d.other for n, d in domains.items() if isinstance(d, RangeAbove) and n in varying}
    kept: dict[str, Domain] = {n: d for n, d in domains.items() if n in varying or n in starts}
    for name, seen in varying.items():
        kept.setdefault(name, _seen(seen))
    return Space(kept)


def _seen(values: Sequence[Any]) -> Domain:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        whole = all(isinstance(value, int) for value in values)
        return Range(low=min(values), high=max(values), integer=whole)
    return Choice(tuple(values))


def _entries(tables: Sequence[_Table], cube: Cube, epochs: int) -> tuple[FloatArray, list[Entry]]:
    """The completed configurations: their places, shape (n, d), and what was recorded of each."""
    found: dict[tuple[float, ...], list[tuple[FloatArray, dict[str, FloatArray], float]]] = {}
    for table in tables:
        for row, config in zip(table.rows, table.configs, strict=True):
            told = {
                name: np.array([course.get(e, np.nan) for e in range(1, epochs + 1)], dtype=float)
                for name, course in table.curves.get(row["trial"], {}).items()
            }
            told = {name: course for name, course in told.items() if np.isfinite(course).all()}
            if row["state"] == "completed" and VAL_ACC.name in told:
                point = tuple(np.round(cube.point(config), 9).tolist())
                seconds = _seconds(row, epochs)
                told = {"train_seconds": np.full(epochs, seconds), **told}
                found.setdefault(point, []).append((told.pop(VAL_ACC.name), told, seconds))
    if not found:
        raise UserError(
            f"No trial of {tables[0].folder} is completed; give a sweep with some that ran to "
            "their last epoch."
        )
    entries = [
        Entry(
            curves=tuple(scores for scores, _, _ in trained),
            told=tuple(told for _, told, _ in trained),
            truth=fmean(float(scores[-1]) for scores, _, _ in trained),
            seconds=fmean(seconds for _, _, seconds in trained),
        )
        for trained in found.values()
    ]
    return np.array(list(found)), entries


def _seconds(row: Row, epochs: int) -> float:
    took = row.get("seconds")
    if took is None and row.get("ended") and row.get("started"):
        took = row["ended"] - row["started"]
    return took / epochs if took and took > 0 else 1.0
