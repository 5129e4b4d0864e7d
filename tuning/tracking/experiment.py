"""A cell's experiment in MLflow: opened or made, its runs found by their tags and written to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuning.tracking.store import Store, quoted

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Experiment:
    """The experiment of one cell, by its id."""

    client: "MlflowClient"
    id: str

    def find(self, tag: str, value: str) -> str | None:
        """The id of the run whose `tag` is `value`; None if there is none."""
        chosen = f"tags.`{tag}` = {quoted(value)}"
        found = self.client.search_runs([self.id], chosen, max_results=1)
        return found[0].info.run_id if found else None

    def children(self, parent: str, chosen: str = "") -> list[Any]:
        """All runs below the run `parent`, or those that the filter `chosen` lets through."""
        own = f"tags.`mlflow.parentRunId` = {quoted(parent)}"
        chosen = f"{own} and {chosen}" if chosen else own
        runs: list[Any] = []
        token = None
        while True:
            page = self.client.search_runs([self.id], chosen, page_token=token)
            runs += page
            if not (token := page.token):
                return runs


def open_experiment(client: "MlflowClient", store: Store, cell: str) -> Experiment:
    """The cell's experiment, which is made, or restored, where it must be."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(cell)
    if found is None:
        folder = f"{store.artifacts}/{cell}" if store.artifacts else None
        try:
            return Experiment(client, client.create_experiment(cell, artifact_location=folder))
        except MlflowException:
            # Another sweep made it in the meantime.
            found = client.get_experiment_by_name(cell)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return Experiment(client, str(found.experiment_id))


def log_metrics(
    client: "MlflowClient", run_id: str, metrics: Mapping[str, float], step: int, when: float
) -> None:
    """Write the metrics of one step, in one request; `when` is seconds since the epoch."""
    from mlflow.entities import Metric

    stamp = round(1000 * when)
    points = [Metric(name, float(value), stamp, step) for name, value in metrics.items()]
    client.log_batch(run_id, metrics=points)


def log_params(client: "MlflowClient", run_id: str, params: Mapping[str, object]) -> None:
    """Write the parameters, without those that are None, in one request."""
    from mlflow.entities import Param

    given = [Param(name, str(value)) for name, value in params.items() if value is not None]
    client.log_batch(run_id, params=given)
