"""A comparison as kept in its folder, beside the sweeps of its methods, so that it can go on."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import yaml

from kd.config import Section, parse, read_mapping
from kd.errors import UserError, brief, unknown
from kd.files import replace_file, unwritable
from kd.methods import config_class
from tuning.records.naming import NAME
from tuning.records.settings import FILE as SWEEP
from tuning.records.settings import SweepSettings

FILE = "comparison.yaml"
MOST = 1000
"""On so many seeds methods are compared at most."""


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
        for method in self.methods:
            config_class(method)
        if not len(set(self.methods)) == len(set(self.sweeps)) == len(self.methods) > 1:
            raise UserError("it has not a sweep for every method.")
        for sweep in self.sweeps:
            if not re.fullmatch(NAME, sweep):
                raise UserError(f"'{brief(sweep)}' is no name of a sweep.")
        if not {*self.baselines, *self.baselines.values()} <= {*self.methods}:
            raise UserError("it has a baseline that is not among its methods.")
        self.check("seeds", 2, MOST)

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
        mended = "restore a copy of it, or start a new comparison"
        plain = read_mapping(path, mended)
        try:
            return parse(cls, plain | {"name": name}, str(path))
        except UserError as error:
            why = str(error).removeprefix(f"{path}: ").rstrip(".")
            raise UserError(f"{path} is damaged ({why}); {mended}.") from None

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
        """Write its own settings, by which it is found again, and those of its sweeps.

        UserError where a folder of that name holds anything else.
        """
        folder = self.folder(storage)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UserError(f"{folder} exists and is no comparison; give another --name.")
        except OSError as error:
            remedy = "give another --name or --storage"
            raise UserError(unwritable(folder, error, remedy)) from None
        plain = asdict(self) | {name: list(getattr(self, name)) for name in ("methods", "sweeps")}
        text = yaml.safe_dump(plain, sort_keys=False)
        replace_file(folder / FILE, text.encode(), "give another --storage")
        for settings in sweeps:
            settings.save()

    def missing(self, storage: Path) -> list[str]:
        """Its sweeps that have no settings: it was cut short as it began, or they were deleted."""
        return [name for name in self.sweeps if not (storage / name / SWEEP).exists()]

    def forget(self, storage: Path) -> bool:
        """Delete a comparison whose first trial never began; whether it was one.

        Nothing goes that it did not make.
        """
        begun = [name for name in self.sweeps if name not in self.missing(storage)]
        if not all(SweepSettings.load(storage, name).forget() for name in begun):
            return False
        (self.folder(storage) / FILE).unlink(missing_ok=True)
        for name in (*self.sweeps, self.name):
            with suppress(OSError):
                (storage / name).rmdir()
        return True
