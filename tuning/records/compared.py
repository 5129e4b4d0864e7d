"""A comparison as kept in its folder, beside the sweeps of its methods, so that it can go on."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import yaml

from kd.config import Section, parse, read_mapping
from kd.errors import UserError, unknown
from kd.files import replace_file
from tuning.records.settings import FILE as SWEEP
from tuning.records.settings import SweepSettings, sweep_names

FILE = "comparison.yaml"


@dataclass(frozen=True, kw_only=True)
class Comparison(Section):
    """Which methods are compared, by which sweeps, and with what.

    `sweeps` are in the order of `methods`; `baselines` names for a method the one that it is
    compared with, and leaves out those that are compared with none. `seeds` is on how many all are
    trained; `asked` is what was typed.
    """

    name: str
    methods: tuple[str, ...]
    sweeps: tuple[str, ...]
    baselines: dict[str, str]
    seeds: int
    asked: str

    def __post_init__(self) -> None:
        if len(self.methods) != len(self.sweeps):
            raise UserError("it has not a sweep for every method.")

    def folder(self, storage: Path) -> Path:
        """Its own folder, in which its table is."""
        return storage.absolute() / self.name

    @classmethod
    def find(cls, storage: Path, name: str) -> Self | None:
        """The comparison of that name; None if there is none; UserError for a damaged one.

        Raises UserError for a sweep of that name, too.
        """
        path = storage / name / FILE
        if (storage / name / SWEEP).exists():
            raise UserError(f"{name} is a sweep and no comparison; give another name.")
        if not path.exists():
            return None
        plain = read_mapping(path, "restore a copy of it, or start a new comparison")
        return parse(cls, plain | {"name": name}, str(path))

    @classmethod
    def load(cls, storage: Path, name: str) -> Self:
        """The comparison of that name; UserError with the nearest name if there is none."""
        if (found := cls.find(storage, name)) is not None:
            return found
        known = [path.parent.name for path in sorted(storage.glob(f"*/{FILE}"))]
        if known:
            raise unknown("comparison", name, known)
        raise UserError(f"There is no comparison under {storage}; start one, or give --storage.")

    def begin(self, storage: Path, sweeps: Sequence[SweepSettings]) -> None:
        """Write the settings of its sweeps, and its own when those are all there.

        Where that is cut short nothing was begun, and `clear` takes away what is left.
        """
        folder = self.folder(storage)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{folder} cannot be written: {error.strerror}; give another --storage."
            ) from None
        for settings in sweeps:
            settings.save()
        plain = asdict(self) | {name: list(getattr(self, name)) for name in ("methods", "sweeps")}
        text = yaml.safe_dump(plain, sort_keys=False)
        replace_file(folder / FILE, text.encode(), "give another --storage")

    def forget(self, storage: Path) -> bool:
        """Delete a comparison whose first trial never began; whether it was one."""
        sweeps = [SweepSettings.load(storage, name) for name in self.sweeps]
        if not all(settings.forget() for settings in sweeps):
            return False
        shutil.rmtree(self.folder(storage), ignore_errors=True)
        return True


def clear(storage: Path, name: str) -> None:
    """Take away sweeps of a comparison that was cut short before it was begun."""
    if not (storage / name).is_dir() or (storage / name / FILE).exists():
        return
    for sweep in sweep_names(storage):
        if sweep.startswith(f"{name}-") and SweepSettings.load(storage, sweep).compared_on:
            SweepSettings.load(storage, sweep).forget()
