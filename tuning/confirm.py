"""`python -m tuning.confirm SWEEP`: the winner and the paper's default again, on paired seeds.

Asked again, the command prints what it found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from kd.cli import run, shown
from kd.errors import UserError, brief
from kd.training.compiling import Compile
from tuning.engine.runtime import check_here
from tuning.records.findings import Findings
from tuning.records.options import GpusPerTrial
from tuning.records.result import load_result
from tuning.records.settings import SweepSettings

MOST = 1000
"""Trials and seeds at most."""
ANEW = ("cpus_per_trial", "gpus_per_trial", "compile", "data_root")
"""What is the sweep's own unless it is given."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Train a sweep's best configurations and the paper's default again, and open the test set."""

    sweep: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SWEEP")]
    """The sweep's name."""
    top: int = 1
    """How many of the best trials compete."""
    seeds: int = 5
    """How many seeds each is trained on, the same for all."""
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
        if not 1 <= (number := getattr(flags, name)) <= MOST:
            raise UserError(f"--{name} is {brief(number)}; it must be from 1 to {MOST}.")
    result = load_result(flags.storage, flags.sweep)
    if known := Findings.load(result.sweep.folder):
        print("The test set was opened before; this is what was found then.")
        print_findings(known)
        return 0
    asked = {name: getattr(flags, name) for name in ANEW}
    given = {name: value for name, value in asked.items() if value is not None}
    settings = replace(SweepSettings.load(flags.storage, flags.sweep), **given)
    settings.check_images(begun=True)
    check_here(settings.compile)

    from tuning.reports.files import attempted, write_page
    from tuning.reports.sentences import report_again, seen_val
    from tuning.sweeps.confirmation import confirm_sweep, planned, record
    from tuning.sweeps.signals import held

    Findings.check_place(result.sweep.folder)
    with held():
        findings = confirm_sweep(result, settings, planned(result, flags.top, flags.seeds))
    if findings is None:
        print("Stopped; the same command goes on from there. The test set is still sealed.")
        return 130
    with attempted("The report does not show it yet", report_again(result.sweep)):
        write_page(result)
    record(settings, findings)
    print_findings(findings)
    for sentence in seen_val(settings):
        print(sentence)
    return 0


def print_findings(findings: Findings) -> None:
    """Print val and test accuracy of the default and the winner, n, deviation, and p."""
    from rich.console import Console
    from rich.table import Table

    from tuning.reports.escapes import terminal

    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for heading in ("", "val accuracy", "test accuracy"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in findings.rows():
        table.add_row(*map(terminal, row))
    console = Console(highlight=False)
    console.print(table)
    console.print(terminal(findings.sentence()))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, confirm, argv)


if __name__ == "__main__":
    main()
