"""`python -m tuning.report SWEEP …`: pictures, one HTML file, Parquet, and tables of sweeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from kd.cli import put, run, shown
from kd.errors import UserError
from kd.files import replace_file
from tuning.records.result import load_result
from tuning.reports import comparison, page
from tuning.reports.files import write_page, write_report
from tuning.reports.summary import print_summary
from tuning.storage.claim import in_use

_REMEDY = "give another -o"


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Write a sweep's report again from its folder, or compare several sweeps."""

    sweeps: Annotated[tuple[str, ...], tyro.conf.Positional, shown("SWEEP …")]
    """The sweep's name; several are compared."""
    storage: Path = Path("runs")
    """Where sweeps are kept."""
    table: Annotated[Literal["latex", "markdown"] | None, shown("latex|markdown")] = None
    """Print a table, method by backbone, and write nothing."""
    output: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")
    ] = None
    """The file to write; without it report.html of the sweep, comparison.html in the storage."""


def report(flags: Flags) -> int:
    """Write what the flags ask for."""
    if not flags.sweeps:
        raise UserError("Which sweep? Type its name: python -m tuning.report NAME.")
    results = [load_result(flags.storage, name) for name in dict.fromkeys(flags.sweeps)]
    if flags.table:
        put(comparison.table(results, flags.table) + "\n")
    elif len(results) > 1:
        path = flags.output or flags.storage / "comparison.html"
        replace_file(path, comparison.render(results).encode(), _REMEDY)
        print(comparison.table(results, "markdown"))
        print(f"\n{path}")
    elif flags.output:
        replace_file(flags.output, page.render(results[0]).encode(), _REMEDY)
        print(flags.output)
    else:
        result = results[0]
        running = in_use(result.sweep.folder) and not result.is_over
        if running:
            write_page(result, live=True)
        else:
            write_report(result)
        print_summary(result, interrupted=not (running or result.is_over), running=running)
    return 0


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, report, argv)


if __name__ == "__main__":
    main()
