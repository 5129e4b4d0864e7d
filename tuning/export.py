"""`python -m tuning.export METHOD …`: a tuned configuration, or its student, for other projects."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from kd.cli import put, run, shown, utf8
from kd.config import TrainConfig
from kd.errors import UserError, unknown
from kd.files import replace_file
from kd.plugins import FORMATS as ADDED
from kd.plugins import added
from kd.text import visible
from tuning.exporters import FORMATS, export
from tuning.exporters.weights import SUFFIXES, write_weights
from tuning.records.findings import Findings, unconfirmed
from tuning.records.winner import handed_out, proof, seeds_of, sweep_config, trial_config
from tuning.storage.tables import to_parquet
from tuning.tracking.lookup import find_best, rows, select
from tuning.tracking.store import Store

TABLE = "parquet"
"""The one format that holds many configurations."""
_FORMATS = (
    "A configuration as yaml, json, toml, python, env, flags, hydra, lightning, torchdistill, "
    "mdistiller, pskd, timm; all best configurations as parquet; the trained student as "
    "safetensors, torch-export, onnx."
)


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Write a tuned configuration, or its trained student, in the format of another project.

    The configuration is the best of a cell (METHOD, --backbone, --dataset), what one sweep hands
    out (--sweep) or a trial of it (--trial), or a file (--config).
    """

    method: Annotated[str | None, tyro.conf.Positional, shown("[METHOD]")] = None
    """The method of the cell."""
    backbone: Annotated[str | None, shown("NAME")] = None
    """The backbone of the cell."""
    dataset: Annotated[str | None, shown("NAME")] = None
    """The data set of the cell."""
    epochs: Annotated[int | None, shown("N")] = None
    """Of the cell, the best that was trained for so many epochs."""
    sweep: Annotated[str | None, shown("NAME")] = None
    """Instead of a cell: a sweep of this name."""
    trial: Annotated[int | None, shown("N")] = None
    """Of the sweep, this trial's instead of what it hands out."""
    config: Annotated[Path | None, shown("FILE")] = None
    """Instead of a cell: a YAML or JSON file."""
    to: Annotated[str, tyro.conf.arg(metavar="FORMAT", help=_FORMATS)] = "yaml"
    output: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")
    ] = None
    """The file to write; the default is the terminal, for weights METHOD.BACKBONE.DATASET."""
    data_licence: Annotated[str | None, shown("NAME")] = None
    """The licence of the data, for the model card of exported weights."""
    storage: Path = Path("runs")
    """Where sweeps are kept."""
    tracking_uri: Annotated[str | None, shown("URI")] = None
    """Another MLflow store than the one in the storage folder."""


def write(flags: Flags) -> None:
    """Find what is asked for, convert it, and write it."""
    if flags.to not in (targets := (*FORMATS, *added(ADDED), *SUFFIXES, TABLE)):
        raise unknown("format", flags.to, targets)
    if flags.to == TABLE:
        _write_table(flags)
        return
    config, folder, about = _chosen(flags)
    if flags.to in SUFFIXES:
        paths = write_weights(config, folder, flags.to, flags.output, flags.data_licence)
        print(f"wrote {' and '.join(map(str, paths))}", file=sys.stderr)
    else:
        text = export(config, flags.to)
        if flags.output is None:
            put(text)
        else:
            replace_file(flags.output, utf8(text))
            print(f"wrote {flags.output}", file=sys.stderr)
    if about:
        print(about, file=sys.stderr)


def _write_table(flags: Flags) -> None:
    if flags.sweep or flags.config:
        raise UserError(
            "parquet holds many configurations; choose them with METHOD, --backbone and --dataset."
        )
    if flags.output is None:
        raise UserError("parquet is not for the terminal; give -o bests.parquet.")
    store = Store.at(flags.storage, flags.tracking_uri)
    chosen, _ = select(store, flags.method, flags.backbone, flags.dataset, flags.epochs)
    replace_file(flags.output, to_parquet(rows(chosen)))
    print(f"wrote {flags.output}", file=sys.stderr)


def _chosen(flags: Flags) -> tuple[TrainConfig, Path, str]:
    """The configuration, the folder where its student lies if it was kept, and how it is proved."""
    cell = (flags.method, flags.backbone, flags.dataset)
    ways = [any(cell), flags.sweep is not None, flags.config is not None]
    if sum(ways) > 1:
        raise UserError("Give one of: METHOD with --backbone and --dataset, --sweep, or --config.")
    if flags.trial is not None and flags.sweep is None:
        raise UserError("--trial is one of a sweep's; give --sweep NAME too.")
    if flags.config is not None:
        return TrainConfig.load(flags.config), flags.config.parent, ""
    if flags.sweep is not None:
        return _of_sweep(flags, flags.sweep)
    method, backbone, dataset = cell
    if method is None or backbone is None or dataset is None:
        raise UserError(
            "Which cell? Give METHOD, --backbone and --dataset; python -m tuning.best lists them."
        )
    store = Store.at(flags.storage, flags.tracking_uri)
    best = find_best(method, backbone, dataset, store, flags.epochs)
    about = f"sweep {best.sweep}, trial {best.trial}: {best.confirmed}"
    return best.config, flags.storage / best.sweep, visible(about)


def _of_sweep(flags: Flags, name: str) -> tuple[TrainConfig, Path, str]:
    folder = flags.storage / name
    if flags.trial is None:
        found = Findings.load(folder)
        searched = unconfirmed(seeds_of(flags.storage, name))
        about = proof(found, found.handed_out) if found else searched
        config = sweep_config(flags.storage, name)
        if found and found.handed_out == found.winner and not found.is_of(config):
            raise UserError(
                f"{name} was confirmed, and what was proved is not in its folder yet; type python "
                f"-m tuning.confirm {name} once more."
            )
        return config, folder, f"sweep {name}: {about}"
    number = flags.trial
    config, result = trial_config(flags.storage, name, number)
    if result.best and result.best.number == number:
        config = handed_out(result) or config
    elif flags.to in SUFFIXES:
        kept = f"of trial {result.best.number} alone" if result.best else "of none"
        raise UserError(
            f"Weights were kept {kept}; train this one: python -m kd.train {folder} --trial "
            f"{number}."
        )
    proved = proof(result.findings, number, result.sweep.settings.seeds_per_trial)
    return config, folder, f"sweep {name}, trial {number}: {proved}"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, write, argv)


if __name__ == "__main__":
    main()
