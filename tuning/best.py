"""`python -m tuning.best`: the best configuration found so far, per method, backbone, data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from kd.cli import put, run, shown
from kd.text import visible
from tuning.reports.escapes import terminal
from tuning.tracking.lookup import find_best, select
from tuning.tracking.promoted import Best
from tuning.tracking.store import Store

if TYPE_CHECKING:
    from rich.console import Console


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
        about = f"{best.cell}: {best.score:.2f}% val ({best.confirmed}), sweep {best.sweep}"
        put(f"# {visible(about)}\n{best.config.to_yaml()}")
        return
    print_table(*select(store, flags.method, flags.backbone, flags.dataset, flags.epochs))


def print_table(
    chosen: Sequence[Best], champions: Sequence[Best], console: "Console | None" = None
) -> None:
    """Print a row for each of `chosen`; those that are not among `champions` are marked."""
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    if not console.is_terminal:
        console.width = 200
    table = Table(box=None, header_style="bold", caption_justify="left", padding=(0, 2, 0, 0))
    for name in ("method", "backbone", "data set"):
        table.add_column(name, no_wrap=True)
    for name in ("val %", "epochs", "trials"):
        table.add_column(name, no_wrap=True, justify="right")
    for name in ("confirmed", "date"):
        table.add_column(name, no_wrap=True)
    table.add_column("sweep", overflow="fold", min_width=12)
    for b in chosen:
        mark = "" if b in champions else " *"
        table.add_row(
            b.config.method,
            b.config.backbone,
            terminal(b.config.portable.dataset),
            f"{b.score:.2f}{mark}",
            str(b.config.epochs),
            str(b.trials),
            terminal(b.confirmed),
            f"{datetime.fromtimestamp(b.created):%Y-%m-%d}",
            terminal(b.sweep),
        )
    if len(champions) < len(chosen):
        table.caption = "* another protocol than the cell's champion; the scores do not compare"
    console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, show, argv)


if __name__ == "__main__":
    main()
