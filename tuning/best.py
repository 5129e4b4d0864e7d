"""`python -m tuning.best`: the best configuration found so far, per method, backbone, data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from kd.backbones.names import short
from kd.cli import put, run, shown
from kd.text import visible
from tuning.reports.escapes import terminal
from tuning.tracking.lookup import find_best, select
from tuning.tracking.promoted import Best
from tuning.tracking.store import Store

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

NUMBERS = ("val %", "epochs", "trials")
HEADINGS = ("method", "backbone", "data set", *NUMBERS, "confirmed", "date", "sweep")


@dataclass(frozen=True, kw_only=True)
class Flags:
    """List the best configurations found so far, or print one.

    With a method, a backbone and a data set: that cell's best configuration, as YAML that
    kd.train runs.
    """

    method: Annotated[str | None, tyro.conf.Positional, shown("[METHOD]")] = None
    """Only this method."""
    backbone: Annotated[str | None, shown("NAME")] = None
    """Only this backbone."""
    dataset: Annotated[str | None, shown("NAME")] = None
    """Only this data set."""
    epochs: Annotated[int | None, shown("N")] = None
    """Only what was trained for so many epochs."""
    storage: Path = Path("runs")
    """Where sweeps are kept."""
    tracking_uri: Annotated[str | None, shown("URI")] = None
    """Another MLflow store than the one in the storage folder."""


def show(flags: Flags) -> None:
    """Print the table, or the one configuration."""
    store = Store.at(flags.storage, flags.tracking_uri)
    if flags.method and flags.backbone and flags.dataset:
        best = find_best(flags.method, flags.backbone, flags.dataset, store, flags.epochs)
        about = f"{best.cell}: {best.score:.2f} % val ({best.confirmed}), sweep {best.sweep}"
        put(f"# {visible(about)}\n{best.config.to_yaml()}")
        return
    print_table(*select(store, flags.method, flags.backbone, flags.dataset, flags.epochs))


def print_table(
    chosen: Sequence[Best], champions: Sequence[Best], console: "Console | None" = None
) -> None:
    """Print a row for each of `chosen`; those that are not among `champions` are marked.

    On a terminal that has no room for a line of all the cells, a row is three lines of three.
    """
    from rich.console import Console

    console = console or Console()
    if not console.is_terminal:
        console.width = 200
    rows = [_cells(best, "" if best in champions else " *") for best in chosen]
    table = _table(rows, lines=1)
    unbounded = console.options.update(width=10_000)
    if console.is_terminal and console.measure(table, options=unbounded).maximum > console.width:
        table = _table(rows, lines=3)
    if len(champions) < len(chosen):
        table.caption = "* another protocol than the cell's champion; the scores do not compare"
    console.print(table)


def _cells(best: Best, mark: str) -> list["Text"]:
    """What is said of one, by `HEADINGS`."""
    cells = (
        best.config.method,
        short(best.config.backbone),
        best.config.portable.dataset,
        f"{best.score:.2f}{mark}",
        str(best.config.epochs),
        str(best.trials),
        best.confirmed,
        f"{datetime.fromtimestamp(best.created):%Y-%m-%d}",
        best.sweep,
    )
    return list(map(terminal, cells))


def _table(rows: Sequence[Sequence["Text"]], lines: int) -> "Table":
    """A table of such rows, with so many cells below each other in each of its columns."""
    from rich.table import Table
    from rich.text import Text

    padding = (0, 2, 1 if lines > 1 else 0, 0)
    table = Table(box=None, header_style="bold", caption_justify="left", padding=padding)
    starts = range(0, len(HEADINGS), lines)
    for start in starts:
        heading = HEADINGS[start : start + lines]
        last, numbers = start == starts[-1], heading[0] in NUMBERS
        table.add_column(
            "\n".join(heading),
            justify="right" if numbers else "left",
            no_wrap=not last,
            overflow="fold",
            min_width=12 if last else None,
        )
    for row in rows:
        table.add_row(*(Text("\n").join(row[start : start + lines]) for start in starts))
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, show, argv)


if __name__ == "__main__":
    main()
