"""A sweep in MLflow: one run for the sweep, and one below it for every trial."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kd.config import TrainConfig
from tuning.study.trials import TrialRecord
from tuning.tracking.experiment import log_metrics, log_params, open_experiment
from tuning.tracking.store import Store
from tuning.tracking.view import page_path, view, view_tag

Outcome = Literal["finished", "interrupted", "failed"]

_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
_COST = ("cost.epochs", "cost.seconds", "cost.gpu_seconds")


@dataclass
class _Run:
    """A trial's run: its id, and the last epoch that was written to it."""

    id: str
    epoch: int


@dataclass(frozen=True)
class _Told:
    """What a trial adds to the sweep's totals; its `cost` by the metrics' names."""

    outcome: str
    score: float | None
    cost: Mapping[str, float]


class SweepRuns:
    """The runs of one sweep, written synchronously; `searched` are the parameters of its view.

    Every method may be called again after it failed half-way, or after a restart of the
    sweep: a run is found by its tag before it is made, an epoch is written once.

    Raises:
        UserError: the store cannot be used.
    """

    def __init__(
        self,
        store: Store,
        cell: str,
        sweep: str,
        *,
        protocol: Mapping[str, str],
        params: Mapping[str, object],
        searched: Sequence[str] = (),
    ) -> None:
        self._client = store.connect()
        self._store = store
        self._sweep = sweep
        self._experiment = open_experiment(self._client, store, cell)
        tags = {f"kd.protocol.{name}": value for name, value in protocol.items()}
        self._tags = {"kd.sweep": sweep, "kd.cell": cell, **tags}
        self._parent = self._experiment.find("kd.sweep_id", sweep) or self._begin(params)
        shown = view(sweep, self._parent, searched)
        self._client.set_experiment_tag(self._experiment.id, view_tag(self._parent), shown)
        self._client.update_run(self._parent, status="RUNNING")
        self._runs: dict[int, _Run] = {}
        self._told = {
            int(run.data.tags["kd.trial_id"].rpartition("/")[2]): _Told(
                run.data.tags.get("kd.outcome", "running"),
                run.data.metrics.get("val_acc"),
                {name: run.data.metrics.get(name, 0.0) for name in _COST},
            )
            for run in self._experiment.children(self._parent)
        }

    @property
    def page(self) -> str:
        """The address of the sweep's trials on the store's server; empty if it has none."""
        if not self._store.served:
            return ""
        return self._store.page + page_path(self._experiment.id, self._parent)

    def start(self, trial: TrialRecord) -> None:
        """Open the trial's run, or open it again."""
        self._client.update_run(self._run(trial).id, status="RUNNING")

    def log_epoch(
        self, trial: TrialRecord, epoch: int, metrics: dict[str, float], when: float
    ) -> None:
        """Write one epoch's metrics, unless that epoch or a later one is there already."""
        run = self._run(trial)
        if epoch <= run.epoch:
            return
        log_metrics(self._client, run.id, {**metrics, "epoch": epoch}, epoch, when)
        run.epoch = epoch

    def end(self, trial: TrialRecord) -> None:
        """Close the trial's run and bring the sweep's totals up to date."""
        run = self._run(trial)
        ended = trial.ended or time.time()
        self._log_cost(trial, ended)
        points = [{"epoch": e, "val_acc": value} for e, value in sorted(trial.curve.items())]
        self._client.log_dict(run.id, {"curve": points}, "curve.json")
        if trial.reason:
            self._client.set_tag(run.id, "kd.reason", trial.reason)
        status = "FAILED" if trial.state == "failed" else "FINISHED"
        self._client.set_terminated(run.id, status, round(1000 * ended))
        # Last, because it says that the run is whole.
        self._client.set_tag(run.id, "kd.outcome", trial.state)
        self._log_totals(ended)

    def catch_up(self, trial: TrialRecord) -> None:
        """Write what is missing of a trial that ended in a process which died soon after.

        Or that is cut short: it may go on, and what it took until now counts.
        """
        if trial.number in self._told and self._told[trial.number].outcome != "running":
            return
        for epoch, value in sorted(trial.curve.items()):
            metrics = trial.metrics if epoch == trial.epoch else {"val_acc": value}
            self.log_epoch(trial, epoch, metrics, trial.ended or time.time())
        if trial.state == "running":
            self._log_cost(trial, time.time())
        else:
            self.end(trial)

    def attach(self, files: Iterable[Path]) -> None:
        """Keep files, such as the report, with the sweep's run."""
        for path in files:
            self._client.log_artifact(self._parent, str(path))

    def close(self, outcome: Outcome) -> None:
        """End the sweep's run with its totals, and kill the trials' runs that are still open."""
        self._log_totals(time.time())
        for run in self._experiment.children(self._parent, "attributes.status = 'RUNNING'"):
            self._client.set_terminated(run.info.run_id, "KILLED")
        self._client.set_tag(self._parent, "kd.outcome", outcome)
        self._client.set_terminated(self._parent, _STATUS[outcome])

    # -- the runs and their totals ------------------------------------------------------------

    def _run(self, trial: TrialRecord) -> _Run:
        """The trial's run: known, found in the store, or made."""
        if trial.number in self._runs:
            return self._runs[trial.number]
        trial_id = f"{self._sweep}/{trial.number}"
        found = self._experiment.find("kd.trial_id", trial_id)
        if found is None:
            tags = {
                "kd.trial_id": trial_id,
                "mlflow.parentRunId": self._parent,
                "mlflow.runName": f"trial {trial.number}",
                **self._tags,
            }
            if trial.source:
                tags["kd.source"] = trial.source
            if trial.label:
                tags["kd.label"] = trial.label
            started = round(1000 * (trial.started or time.time()))
            run = self._client.create_run(self._experiment.id, start_time=started, tags=tags)
            found = run.info.run_id
        log_params(self._client, found, TrainConfig.from_dict(trial.config).flat())
        self._client.log_dict(found, trial.config, "config.yaml")
        last = self._client.get_run(found).data.metrics.get("epoch", 0)
        return self._runs.setdefault(trial.number, _Run(found, round(last)))

    def _begin(self, params: Mapping[str, object]) -> str:
        tags = {"kd.sweep_id": self._sweep, "mlflow.runName": self._sweep, **self._tags}
        made: str = self._client.create_run(self._experiment.id, tags=tags).info.run_id
        log_params(self._client, made, params)
        return made

    def _log_cost(self, trial: TrialRecord, when: float) -> None:
        spent = (trial.trained, trial.seconds, trial.seconds * trial.gpus)
        cost = dict(zip(_COST, spent, strict=True))
        self._told[trial.number] = _Told(trial.state, trial.score, cost)
        log_metrics(self._client, self._run(trial).id, cost, trial.epoch, when)

    def _log_totals(self, when: float) -> None:
        told = self._told.values()
        totals = {name: sum(one.cost[name] for one in told) for name in _COST}
        for outcome in ("completed", "stopped", "failed"):
            totals[f"trials.{outcome}"] = sum(one.outcome == outcome for one in told)
        scores = [one.score for one in told if one.outcome == "completed" and one.score is not None]
        if scores:
            totals["best.val_acc"] = max(scores)
        log_metrics(self._client, self._parent, totals, len(told), when)
