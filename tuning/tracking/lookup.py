"""The best configuration found so far: of one cell, of all that are asked for, as rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kd.backbones import backbone_spec
from kd.backbones.names import BackboneName, short
from kd.config import TrainConfig
from kd.data import DatasetName, dataset_names
from kd.errors import UserError, unknown
from kd.methods import config_class
from tuning.records.protocol import cell_name
from tuning.tracking.promoted import Best, champion, winners
from tuning.tracking.store import Store
from tuning.tracking.versions import read_all


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


def find_best(
    method: str, backbone: str, dataset: str, store: Store, epochs: int | None = None
) -> Best:
    """The cell's champion, or its best under protocols of that many `epochs`.

    Raises:
        UserError: an unknown name, an empty store, or nothing promoted for the cell.
    """
    config_class(method)
    _check_backbone(backbone)
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
    method: str | None = None,
    backbone: str | None = None,
    dataset: str | None = None,
    epochs: int | None = None,
) -> tuple[list[Best], list[Best]]:
    """The best of each cell and protocol that is asked for, and which of these are champions.

    Raises:
        UserError: an unknown name, or nothing to choose from.
    """
    if method:
        config_class(method)
    if backbone:
        _check_backbone(backbone)
    every = read_all(store)
    named = {b.config.dataset for b in every} | set(dataset_names())
    if dataset and DatasetName.parse(dataset).folder is None and dataset not in named:
        raise unknown("data set", dataset, named)
    chosen = [
        b
        for b in winners(every)
        if method in (None, b.config.method)
        and (backbone is None or short(backbone) == short(b.config.backbone))
        and (dataset is None or _same_images(dataset, b.config.dataset))
        and epochs in (None, b.config.epochs)
    ]
    if not chosen:
        what = "that is asked for" if every else "yet"
        raise UserError(
            f"There is no best configuration {what} in {store.name}; run python -m tuning.search "
            f"{method or 'METHOD'}, or give another --storage."
        )
    champions = [
        champion([b for b in every if b.cell == cell]) for cell in {b.cell for b in chosen}
    ]
    return chosen, [b for b in chosen if b in champions]


def _same_images(asked: str, kept: str) -> bool:
    """Whether two names of data sets mean one cell: of a folder the last part counts."""
    return cell_name("", "", asked) == cell_name("", "", kept)


def rows(bests: Sequence[Best]) -> list[dict[str, Any]]:
    """A row for each: cell, score (percent), sweep, protocol, configuration.

    Configurations are columns with dotted names such as `kd.alpha`, protocols columns such as
    `protocol.seed`; `created` is seconds since the epoch.
    """
    return [
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


def _check_backbone(name: str) -> None:
    """Raise UserError for one that cannot be; a network of elsewhere is not looked at for it."""
    if not BackboneName.parse(name).kind:
        backbone_spec(name)
