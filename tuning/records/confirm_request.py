"""What a person asked `tuning.confirm` for."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from kd.cli import repeated, shown
from kd.errors import UserError, brief
from kd.training.compiling import Compile
from tuning.records.options import GpusPerTrial
from tuning.records.settings import SweepSettings

Trials = tyro.conf.UseAppendAction[tuple[int, ...]]

MOST = 1000
"""Trials and seeds at most."""
ANEW = ("cpus_per_trial", "gpus_per_trial", "compile", "data_root")
"""What is the sweep's own unless it is given."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Prove a sweep's best: train its candidates and the paper's default again, on new seeds.

    Candidates race: one that cannot win any more is dropped, and seeds are added until it is
    decided which is better than the default. Then the test set is opened, once, for what is handed
    out and for the default.
    """

    sweep: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SWEEP")]
    """The sweep's name."""
    top: Annotated[int | None, shown("N")] = None
    """How many of the best trials compete; the default is 3."""
    trial: Annotated[Trials, repeated("N")] = ()
    """Instead of the best: a trial of this number competes."""
    seeds: Annotated[int | None, shown("N")] = None
    """On how many seeds each is trained at most, the same for all; the default is 10."""
    refit: bool = False
    """Train what is handed out on val too, for the last student; test tells of that one as well."""
    again: Annotated[str | None, shown("NOTE")] = None
    """Open the test set of a confirmed sweep once more, on fresh seeds; the note says why."""
    storage: Path = Path("runs")
    """Where sweeps are kept."""
    data_root: Annotated[Path | None, shown("FOLDER")] = None
    """Where data sets are kept and downloaded to; the default is the sweep's."""
    cpus_per_trial: Annotated[int | None, shown("CORES")] = None
    """CPU cores of one training; the default is the sweep's."""
    gpus_per_trial: Annotated[GpusPerTrial, shown("GPUS|auto")] = None
    """GPUs of one training; the default is the sweep's."""
    compile: Annotated[Compile | None, shown("auto|never|always")] = None
    """Compile the steps; the default is the sweep's."""

    def settings(self) -> SweepSettings:
        """The sweep's own settings, with what is given anew; UserError if there is no such one."""
        given = {name: value for name in ANEW if (value := getattr(self, name)) is not None}
        return replace(SweepSettings.load(self.storage, self.sweep), **given)


def check(flags: Flags) -> None:
    """Raise UserError for numbers that make no sense, whatever the sweep."""
    for name in ("top", "seeds"):
        number = getattr(flags, name)
        if number is not None and not 1 <= number <= MOST:
            raise UserError(f"--{name} is {brief(number)}; it must be from 1 to {MOST}.")
    if flags.top is not None and flags.trial:
        raise UserError("--top and --trial both say who competes; give one of them.")
