"""The runs of a confirmed sweep in MLflow: below a trial's, one for every seed."""

from collections.abc import Iterable, Mapping

from tuning.tracking.experiment import open_experiment
from tuning.tracking.store import Store


def log_seeds(
    store: Store, cell: str, sweep: str, found: Iterable[tuple[int, int, Mapping[str, float]]]
) -> None:
    """Write a run below its trial's for each (trial, seed, metrics) of a confirmed sweep.

    A run that is whole already is left as it is.

    Raises:
        UserError: the store cannot be used.
    """
    client = store.connect()
    with store.answering():
        experiment = open_experiment(client, store, cell)
        for trial, seed, metrics in found:
            name = f"{sweep}/{trial}/{seed}"
            parent = experiment.find("kd.trial_id", f"{sweep}/{trial}")
            if parent is None:
                continue
            if (begun := experiment.find("kd.seed_id", name)) is not None:
                if client.get_run(begun).info.status != "RUNNING":
                    continue
                # What was killed while it wrote may have left any part of it.
                client.delete_run(begun)
            tags = {
                "kd.seed_id": name,
                "kd.confirms": sweep,
                "mlflow.parentRunId": parent,
                "mlflow.runName": f"trial {trial}, seed {seed}",
            }
            run_id = client.create_run(experiment.id, tags=tags).info.run_id
            for metric, value in metrics.items():
                client.log_metric(run_id, metric, value)
            client.set_terminated(run_id)
