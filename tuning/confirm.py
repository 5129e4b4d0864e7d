"""`python -m tuning.confirm SWEEP`: which of a sweep's best is proved to be better.

Asked again, the command prints what it found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from kd.cli import repeated, run, shown
from kd.errors import UserError, brief
from kd.training.compiling import Compile
from tuning.engine.runtime import check_here
from tuning.records.options import GpusPerTrial
from tuning.records.result import load_result
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


def confirm(flags: Flags) -> int:
    """Run the command line."""
    for name in ("top", "seeds"):
        number = getattr(flags, name)
        if number is not None and not 1 <= number <= MOST:
            raise UserError(f"--{name} is {brief(number)}; it must be from 1 to {MOST}.")
    if flags.top is not None and flags.trial:
        raise UserError("--top and --trial both say who competes; give one of them.")
    result = load_result(flags.storage, flags.sweep)
    given = {name: value for name in ANEW if (value := getattr(flags, name)) is not None}
    settings = replace(SweepSettings.load(flags.storage, flags.sweep), **given)

    from tuning.reports.confirmed import print_findings
    from tuning.reports.sentences import seen_val
    from tuning.sweeps.candidates import Asked, check_asked

    asked = Asked(flags.top, flags.seeds, flags.trial, flags.again, flags.refit)
    check_asked(result, asked)
    if (known := result.findings) and flags.again is None:
        from tuning.sweeps.handing_out import mend

        print("It was confirmed before; this is what was found then.")
        mend(settings, result, known)
        print_findings(known)
        return 0
    settings.check_images(begun=True)
    check_here(settings.compile)

    from tuning.sweeps.confirmation import confirm_sweep

    findings = confirm_sweep(settings, asked)
    if findings is None:
        print("Stopped; the same command goes on from there. The test set is still sealed.")
        return 130
    print_findings(findings)
    for sentence in seen_val(settings):
        print(sentence)
    return 0


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, confirm, argv)


if __name__ == "__main__":
    main()
