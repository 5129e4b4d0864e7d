"""How a sweep's trials are shown in MLflow's pages.

MLflow collapses nested runs and shows its own columns. A view, kept as a tag of the experiment
and named in the link, opens them. It is what the page's own Share button makes; MLflow
documents neither its JSON nor its address, so a test opens the page in a browser.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kd.errors import UserError, unknown
from tuning.tracking.promoted import CONFIRMED
from tuning.tracking.store import Store, quoted

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SECTION = "search"
"""The section of our own charts; MLflow puts those of all other metrics into its own."""


def view_tag(key: str) -> str:
    """The tag of the experiment that holds the view `key`."""
    return f"mlflow.sharedViewState.{key}"


def page_path(experiment: str, key: str) -> str:
    """The page of the view, below the server's address."""
    choice = f"compareRunsMode=CHART&workflowType=machine_learning&viewStateShareKey={key}"
    return f"/#/experiments/{experiment}/runs?{choice}"


def sweep_page(store: Store, client: "MlflowClient", sweep: str) -> str:
    """The path of the sweep's view; UserError with the nearest name if MLflow has no such sweep."""
    with store.answering():
        found = _sweeps(client, f"= {quoted(sweep)}")
        if found:
            return page_path(found[0].info.experiment_id, found[0].info.run_id)
        known = [run.data.tags["kd.sweep_id"] for run in _sweeps(client, "LIKE '%'")]
    if not known:
        raise UserError(f"There is no sweep in {store.name}; run one, or give --storage.")
    raise unknown("sweep", sweep, known)


def _sweeps(client: "MlflowClient", chosen: str) -> list[Any]:
    experiments = [e.experiment_id for e in client.search_experiments()]
    return list(client.search_runs(experiments, f"tags.`kd.sweep_id` {chosen}"))


def view(sweep: str, parent: str, searched: Sequence[str]) -> str:
    """The view of a sweep's trials, as JSON.

    `parent` is the id of the sweep's run; `searched` are the dotted names of the parameters
    that get a column and an axis.
    """
    metrics = ["val_acc", "cost.epochs"]
    section = {"display": True, "isReordered": True}
    state: dict[str, Any] = {
        "searchFilter": f"tags.`kd.sweep` = {quoted(sweep)}",
        "orderByKey": "metrics.`val_acc`",
        "orderByAsc": False,
        "selectedColumns": [
            "tags.`kd.outcome`",
            f"tags.`{CONFIRMED}`",
            *(f"metrics.`{name}`" for name in metrics),
            *(f"params.`{name}`" for name in searched),
        ],
        "runsExpanded": {parent: True},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOW_ALL",
        "viewMaximized": False,
        "runListHidden": False,
        "groupBy": None,
        "groupsExpanded": {},
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "isAccordionReordered": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0},
        "compareRunSections": [
            {"uuid": _SECTION, "name": "Search", "columns": 2, "cardHeight": 400, **section},
            {"uuid": "rest", "name": "Model metrics", **section, "display": False},
            {"uuid": "system", "name": "System metrics", **section, "display": False},
        ],
        "compareRunCharts": [_line("val_acc"), _parallel(searched), _line("train_loss")],
    }
    return json.dumps(state, separators=(",", ":"))


def _chart(kind: str, uuid: str) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "type": kind,
        "metricSectionId": _SECTION,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 1000,
    }


def _line(metric: str) -> dict[str, Any]:
    return _chart("LINE", metric) | {
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "lineSmoothness": 0,
        "scaleType": "linear",
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "yAxisKey": "metric",
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _parallel(searched: Sequence[str]) -> dict[str, Any]:
    return _chart("PARALLEL", "parallel") | {
        "selectedParams": list(searched),
        "selectedMetrics": ["val_acc"],
        "showAllRuns": True,
    }
