"""The best configuration found so far, per cell: a registry in MLflow that sweeps promote into.

A cell (method, backbone, data set) is a registered model. Every promoted winner of a sweep is
a version of it and carries its configuration, score and protocol in its tags, written in one
transaction. The versions are the truth; the alias `champion` follows from them.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.config import TrainConfig
from kd.errors import UserError
from tuning.records.protocol import cell_name
from tuning.tracking.store import Store, first_line, quoted

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
_ARTIFACT = "best_config.yaml"
_PROTOCOL = "kd.protocol."


@dataclass(frozen=True, kw_only=True)
class Best:
    """One promoted winner.

    `score` is val accuracy in percent, measured under `protocol`; `trial` of `trials` in
    `sweep` won; `confirmed` says how the score was confirmed; `created` is seconds since the
    epoch.
    """

    cell: str
    version: int
    created: float
    score: float
    sweep: str
    trial: int
    trials: int
    confirmed: str
    protocol: tuple[tuple[str, str], ...]
    config: TrainConfig

    @classmethod
    def from_tags(cls, cell: str, version: int, created: float, tags: dict[str, str]) -> "Best":
        """Read what `promote` wrote."""
        protocol = sorted(
            (k.removeprefix(_PROTOCOL), v) for k, v in tags.items() if k.startswith(_PROTOCOL)
        )
        return cls(
            cell=cell,
            version=version,
            created=created,
            score=float(tags["kd.score"]),
            sweep=tags["kd.sweep"],
            trial=int(tags["kd.trial"]),
            trials=int(tags["kd.trials"]),
            confirmed=tags["kd.confirmed"],
            protocol=tuple(protocol),
            config=TrainConfig.from_dict(json.loads(tags["kd.config"]), f"{cell} v{version}"),
        )


# -- choosing ---------------------------------------------------------------------------------


def winners(versions: Iterable[Best]) -> list[Best]:
    """Of every cell and protocol the highest score; the earlier version on a tie."""
    best: dict[tuple[str, tuple[tuple[str, str], ...]], Best] = {}
    for one in sorted(versions, key=lambda b: (-b.score, b.version)):
        best.setdefault((one.cell, one.protocol), one)
    return sorted(best.values(), key=lambda b: (b.cell, -b.config.epochs, -b.version))


def champion(versions: Sequence[Best]) -> Best:
    """The one version of a cell that stands for it.

    Scores are compared under equal protocols only. Between protocols no score decides: the
    longest training counts for most, then the protocol that was used last.
    """
    newest = max(versions, key=lambda b: (b.config.epochs, b.version))
    return winners(b for b in versions if b.protocol == newest.protocol)[0]


# -- writing ----------------------------------------------------------------------------------


def promote(
    store: Store,
    config: TrainConfig,
    *,
    score: float,
    protocol: dict[str, str],
    sweep: str,
    trial: int,
    trials: int,
    confirmed: str = "one run",
) -> Best:
    """Register the winner of a sweep and return the best of its cell under its protocol.

    That is the winner itself, unless another sweep's is better. Safe beside other sweeps that
    promote at the same time; promoting a trial again changes nothing.

    Raises:
        UserError: the store cannot be used, or holds no run of that trial.
    """
    tags = {
        "kd.score": repr(score),
        "kd.sweep": sweep,
        "kd.trial": str(trial),
        "kd.trials": str(trials),
        "kd.confirmed": confirmed,
        "kd.config": json.dumps(config.to_dict()),
        **{_PROTOCOL + name: value for name, value in protocol.items()},
    }
    cell = cell_name(config.method, config.backbone, config.dataset)
    client = store.connect()
    with store.answering():
        if not any((b.sweep, b.trial) == (sweep, trial) for b in _versions(client, cell)):
            run_id = _trial_run(client, store, cell, f"{sweep}/{trial}")
            client.log_text(run_id, config.to_yaml(), _ARTIFACT)
            _register(client, cell)
            client.create_model_version(cell, f"runs:/{run_id}/{_ARTIFACT}", run_id, tags=tags)
        versions = _crown(client, cell)
        read_all(store, client)
    return next(b for b in winners(versions) if dict(b.protocol) == protocol)


def mark_confirmed(store: Store, cell: str, sweep: str, trial: int, words: str) -> None:
    """Note with the promoted trial how its score was confirmed; nothing if it was not promoted.

    Raises:
        UserError: the store cannot be used.
    """
    client = store.connect()
    with store.answering():
        for best in _versions(client, cell):
            if (best.sweep, best.trial) == (sweep, trial):
                client.set_model_version_tag(cell, str(best.version), "kd.confirmed", words)
        read_all(store, client)


def _crown(client: "MlflowClient", cell: str) -> list[Best]:
    """Set the alias on the cell's champion; the versions that it was chosen from.

    The versions are read again after every write, so that of several writers the last one
    has seen all versions.
    """
    while True:
        versions = _versions(client, cell)
        chosen = champion(versions).version
        current = client.get_registered_model(cell).aliases.get(CHAMPION)
        if current is not None and int(current) == chosen:
            return versions
        client.set_registered_model_alias(cell, CHAMPION, str(chosen))


def _register(client: "MlflowClient", cell: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(cell)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _trial_run(client: "MlflowClient", store: Store, cell: str, trial_id: str) -> str:
    chosen = f"tags.`kd.trial_id` = {quoted(trial_id)}"
    experiment = client.get_experiment_by_name(cell)
    runs = client.search_runs([experiment.experiment_id], chosen) if experiment else []
    if not runs:
        raise UserError(
            f"MLflow at {store.name} holds no run {trial_id}, so it was not promoted; go on with "
            f"--resume {trial_id.rpartition('/')[0]} when MLflow answers."
        )
    run_id: str = runs[0].info.run_id
    return run_id


# -- reading ----------------------------------------------------------------------------------

# name, version, created, tags: what is read from the registry, and kept between commands.
_Row = tuple[str, int, float, dict[str, str]]


def read_all(store: Store, client: "MlflowClient | None" = None) -> list[Best]:
    """Every promoted version in `store`, in no particular order.

    Importing MLflow and opening a store takes seconds, so what was read from an embedded
    store is kept beside it for as long as its file does not change.
    """
    if store.file is not None and not store.file.exists():
        return []
    stamp = _stamp(store.file) if store.file is not None else None
    rows = _kept(store.file, stamp) if store.file is not None and client is None else None
    if rows is None:
        client = client or store.connect()
        with store.answering():
            rows = _rows(client)
        if store.file is not None:
            _keep(store.file, stamp, rows)
    return _read(rows)


def _versions(client: "MlflowClient", cell: str) -> list[Best]:
    return _read(_rows(client, f"name = {quoted(cell)}"))


def _read(rows: Iterable[_Row]) -> list[Best]:
    """The versions, without damaged ones and those of methods that are not installed here."""
    bests = []
    for row in rows:
        try:
            bests.append(Best.from_tags(*row))
        except (UserError, KeyError, ValueError) as error:
            print(f"{row[0]} v{row[1]} is passed over: {first_line(error)}.", file=sys.stderr)
    return bests


def _rows(client: "MlflowClient", chosen: str = "") -> list[_Row]:
    rows: list[_Row] = []
    token = None
    while True:
        page = client.search_model_versions(chosen, page_token=token)
        rows += [
            (v.name, int(v.version), v.creation_timestamp / 1000, dict(v.tags))
            for v in page
            if "kd.config" in v.tags
        ]
        if not (token := page.token):
            return rows


def _stamp(database: Path) -> list[list[int]]:
    """What changes whenever the database does; a write-ahead log is a second file."""
    files = (database, Path(f"{database}-wal"))
    return [[f.stat().st_mtime_ns, f.stat().st_size] for f in files if f.exists()]


def _kept(database: Path, stamp: Any) -> list[_Row] | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_keeping(database).read_text(encoding="utf-8"))
        if kept["stamp"] == stamp:
            rows: list[_Row] = kept["rows"]
            return rows
    return None


def _keep(database: Path, stamp: Any, rows: list[_Row]) -> None:
    file = _keeping(database)
    scratch = file.with_suffix(f".{os.getpid()}")
    # In a folder that cannot be written, the next command reads the registry again.
    with suppress(OSError):
        scratch.write_text(json.dumps({"stamp": stamp, "rows": rows}), encoding="utf-8")
        scratch.replace(file)


def _keeping(database: Path) -> Path:
    return database.with_suffix(".best.json")
