"""The best configuration found so far, per cell: a registry in MLflow that sweeps promote into.

A cell (method, backbone, data set) is a registered model. Whatever a sweep came to hand out is
a version of it and carries its configuration, score and protocol in its tags, written in one
transaction. The versions are the truth; the alias `champion` follows from them.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kd.config import TrainConfig
from kd.errors import UserError
from tuning.records.findings import UNCONFIRMED
from tuning.records.protocol import cell_name
from tuning.tracking.experiment import Experiment
from tuning.tracking.promoted import (
    CONFIRMED,
    PROTOCOL,
    SUPERSEDED,
    TOLD,
    Best,
    champion,
    is_proof,
    winners,
)
from tuning.tracking.store import Store
from tuning.tracking.versions import read_all, read_cell

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
_ARTIFACT = "best_config.yaml"


def promote(
    store: Store,
    config: TrainConfig,
    *,
    score: float,
    protocol: dict[str, str],
    sweep: str,
    trial: int,
    trials: int,
    confirmed: str = UNCONFIRMED,
) -> Best:
    """Register what a sweep hands out and return the best of its cell under its protocol.

    That is the same, unless another sweep's is better. `confirmed` says how its score was, after
    which it takes the place of whatever the sweep handed out before. Safe beside other sweeps that
    promote at the same time; promoting a trial again changes nothing.

    Raises:
        UserError: the store cannot be used, or holds no run of that trial.
    """
    tags = {
        "kd.score": repr(score),
        "kd.sweep": sweep,
        "kd.trial": str(trial),
        "kd.trials": str(trials),
        CONFIRMED: confirmed,
        "kd.config": json.dumps(config.to_dict()),
        **{PROTOCOL + name: value for name, value in protocol.items()},
    }
    cell = cell_name(config.method, config.backbone, config.dataset)
    client = store.connect()
    with store.answering():
        own = [b for b in read_cell(client, cell) if b.sweep == sweep]
        known = next((b for b in own if b.trial == trial), None)
        run_id = _trial_run(client, store, cell, f"{sweep}/{trial}")
        client.set_tag(run_id, CONFIRMED, confirmed)
        if known is None:
            client.log_text(run_id, config.to_yaml(), _ARTIFACT)
            _register(client, cell)
            client.create_model_version(cell, f"runs:/{run_id}/{_ARTIFACT}", run_id, tags=tags)
        if is_proof(confirmed):
            for other in (b for b in own if b is not known):
                client.set_model_version_tag(cell, str(other.version), SUPERSEDED, "true")
                place = _trial_run(client, store, cell, f"{sweep}/{other.trial}")
                client.set_tag(place, CONFIRMED, f"trial {trial} is handed out instead")
            if known is not None:
                _write_again(client, cell, known, run_id, tags)
        versions = _crown(client, cell)
    return next(b for b in winners(versions) if dict(b.protocol) == protocol)


def all_told(store: Store, sweep: str, trial: int, openings: int) -> None:
    """Note at what a sweep hands out that all of its confirmation was written.

    Raises:
        UserError: the store cannot be used.
    """
    known = [b for b in read_all(store) if (b.sweep, b.trial) == (sweep, trial)]
    client = store.connect()
    with store.answering():
        for best in known:
            client.set_model_version_tag(best.cell, str(best.version), TOLD, str(openings))


def _write_again(
    client: "MlflowClient", cell: str, known: Best, run_id: str, tags: Mapping[str, str]
) -> None:
    """Let a version that is there say what was confirmed."""
    config = TrainConfig.from_dict(json.loads(tags["kd.config"]))
    client.log_text(run_id, config.to_yaml(), _ARTIFACT)
    for name, value in tags.items():
        client.set_model_version_tag(cell, str(known.version), name, value)
    if known.superseded:
        client.delete_model_version_tag(cell, str(known.version), SUPERSEDED)


def _crown(client: "MlflowClient", cell: str) -> list[Best]:
    """Set the alias on the cell's champion; the versions that it was chosen from.

    The versions are read again after every write, so that of several writers the last one
    has seen all versions.
    """
    while True:
        versions = read_cell(client, cell)
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
    known = client.get_experiment_by_name(cell)
    found = Experiment(client, known.experiment_id).find("kd.trial_id", trial_id) if known else None
    if found is None:
        raise UserError(
            f"MLflow at {store.name} holds no run {trial_id}, so it was not promoted; go on with "
            f"--resume {trial_id.rpartition('/')[0]} when MLflow answers."
        )
    return found
