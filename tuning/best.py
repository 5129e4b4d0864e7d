"""`python -m tuning.best`: the best configuration found so far, per method, backbone, data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import tyro

from kd.backbones import backbone_spec
from kd.cli import run
from kd.config import TrainConfig
from kd.data import dataset_names
from kd.errors import UserError, unknown
from kd.methods import config_class
from tuning.records.protocol import cell_name
from tuning.tracking.promoted import Best, champion, winners
from tuning.tracking.store import Store
from tuning.tracking.versions import read_all


def find_best(
    method: str, backbone: str, dataset: str, store: Store, epochs: int | None = None
) -> Best:
    """The cell's champion, or its best under protocols of that many `epochs`.

    Raises:
        UserError: an unknown name, an empty store, or nothing promoted for the cell.
    """
    config_class(method)
    backbone_spec(backbone)
    cell = cell_name(method, backbone, dataset)
    every = read_all(store)
    if not every:
        raise UserError(
            f"No sweep has ended with a best configuration in {store.name} yet; run python -m "
            f"tuning.search {method} --backbone {backbone} --dataset {dataset}."
        )
    own = [b for b in every if b.cell == cell]
    if not own:
        raise unknown("best configuration of", cell, {b.cell for b in every})
    lengths = sorted({b.config.epochs for b in own})
    if epochs is not None and epochs not in lengths:
        raise UserError(
            f"No best of {cell} was trained for {epochs} epochs; give one of {lengths}."
        )
    return champion([b for b in own if epochs in (None, b.config.epochs)])


def select(
    store: Store,
    method: str | None,
    backbone: str | None,
    dataset: str | None,
    epochs: int | None = None,
) -> tuple[list[Best], list[Best]]:
    """Every promoted version, and of these the best of each cell and protocol that is asked for.

    Raises:
        UserError: an unknown name, or nothing to choose from.
    """
    if method:
        config_class(method)
    if backbone:
        backbone_spec(backbone)
    every = read_all(store)
    named = {b.config.dataset for b in every} | set(dataset_names())
    if dataset and not dataset.startswith("parquet:") and dataset not in named:
        raise unknown("data set", dataset, named)
    chosen = [
        b
        for b in winners(every)
        if method in (None, b.config.method)
        and backbone in (None, b.config.backbone)
        and (dataset is None or _same_images(dataset, b.config.dataset))
        and epochs in (None, b.config.epochs)
    ]
    if not chosen:
        what = "that is asked for" if every else "yet"
        raise UserError(
            f"There is no best configuration {what} in {store.name}; run python -m tuning.search "
            f"{method or 'METHOD'}, or give another --storage."
        )
    return every, chosen


def _same_images(asked: str, kept: str) -> bool:
    """Whether two names of data sets mean one cell: of a folder the last part counts."""
    return cell_name("", "", asked) == cell_name("", "", kept)


def best_config(
    method: str,
    backbone: str,
    dataset: str,
    *,
    storage: str | Path = "runs",
    tracking_uri: str | None = None,
    epochs: int | None = None,
) -> TrainConfig:
    """The best configuration found for a cell; imports neither Ray nor torch.

    Raises:
        UserError: an unknown name, an empty store, or nothing promoted for the cell.
    """
    store = Store.at(storage, tracking_uri)
    return find_best(method, backbone, dataset, store, epochs).config


def parquet(bests: Sequence[Best]) -> bytes:
    """A Parquet file of a row for each: cell, score (percent), sweep, protocol, configuration.

    Configurations are columns with dotted names such as `kd.alpha`, protocols columns such as
    `protocol.seed`; `created` is seconds since the epoch.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "cell": b.cell,
            "val_acc": b.score,
            "confirmed": b.confirmed,
            "sweep": b.sweep,
            "trial": b.trial,
            "trials": b.trials,
            "created": b.created,
            **{f"protocol.{name}": value for name, value in b.protocol},
            **b.config.flat(),
        }
        for b in bests
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


# -- the command line -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Flags:
    """List the best configurations found so far, or print one.

    With a method, a backbone and a data set: that cell's best configuration, as YAML that
    kd.train runs.
    """

    method: Annotated[str | None, tyro.conf.Positional] = None
    """Only this method."""
    backbone: str | None = None
    """Only this backbone."""
    dataset: str | None = None
    """Only this data set."""
    epochs: int | None = None
    """Only what was trained for so many epochs."""
    storage: Path = Path("runs")
    """Where sweeps are kept."""
    tracking_uri: str | None = None
    """Another MLflow store than the one in the storage folder."""


def show(flags: Flags) -> None:
    """Print the table, or the one configuration."""
    store = Store.at(flags.storage, flags.tracking_uri)
    if flags.method and flags.backbone and flags.dataset:
        best = find_best(flags.method, flags.backbone, flags.dataset, store, flags.epochs)
        print(f"# {best.cell}: {best.score:.2f}% val, {best.confirmed}, sweep {best.sweep}")
        print(best.config.to_yaml(), end="")
        return
    every, chosen = select(store, flags.method, flags.backbone, flags.dataset, flags.epochs)
    champions = {
        (b.cell, b.version)
        for b in (champion([v for v in every if v.cell == w.cell]) for w in chosen)
    }
    _print_table(chosen, champions)


def _print_table(chosen: Sequence[Best], champions: set[tuple[str, int]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
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
        mark = "" if (b.cell, b.version) in champions else " *"
        table.add_row(
            b.config.method,
            b.config.backbone,
            b.config.dataset,
            f"{b.score:.2f}{mark}",
            str(b.config.epochs),
            str(b.trials),
            b.confirmed,
            f"{datetime.fromtimestamp(b.created):%Y-%m-%d}",
            b.sweep,
        )
    if any((b.cell, b.version) not in champions for b in chosen):
        table.caption = "* another protocol than the cell's champion; the scores do not compare"
    console.print(table)


if __name__ == "__main__":
    run(Flags, show, None)
