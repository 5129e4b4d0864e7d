"""A sweep's observer that writes to MLflow.

Only the driver writes, from one background thread, so that a slow or dead server never holds
up the training.
"""

import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tuning.study.trials import TrialRecord
from tuning.tracking.runs import Outcome, SweepRuns
from tuning.tracking.store import Store, first_line, is_transient

_CLOSING = 30.0
_PAUSES = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts at a server that does not answer."""


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


class Tracker:
    """An observer of a sweep's trials that writes them to MLflow, in order and in the background.

    Built when the sweep starts: importing MLflow and opening the store (some seconds) then
    happen beside whatever else must start. `ready` waits for it and raises what went wrong.
    A server that dies later stops nothing: what it misses waits in memory and is written,
    with its original times, when the server is back.
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
        notify: Callable[[str], None] = _to_stderr,
    ) -> None:
        self._store = store
        self._open = partial(
            SweepRuns, store, cell, sweep, protocol=protocol, params=params, searched=searched
        )
        self._notify = notify
        self._runs: SweepRuns | None = None
        self._failure: Exception | None = None
        self._opened = threading.Event()
        self._abandoned = threading.Event()
        self._reports: queue.SimpleQueue[Callable[[SweepRuns], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="mlflow-writer", daemon=True)
        self._thread.start()

    def ready(self) -> None:
        """Wait until the store is open; UserError if it does not answer or cannot be used."""
        self._opened.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def page(self) -> str:
        """The address of the sweep's trials; empty if no server shows them, or none answered."""
        return self._runs.page if self._runs is not None else ""

    @property
    def pending(self) -> int:
        """About how many reports wait to be written."""
        return self._reports.qsize()

    # -- told by the driver; each call costs microseconds -------------------------------------

    def on_start(self, trial: TrialRecord) -> None:
        """A trial was created, or is about to go on after a restart."""
        self._reports.put(partial(SweepRuns.start, trial=_copy(trial)))

    def on_epoch(self, trial: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """A trial reported the metrics of one 1-based epoch."""
        best = max(value for e, value in trial.curve.items() if e <= epoch)
        report = partial(
            SweepRuns.log_epoch,
            trial=_copy(trial),
            epoch=epoch,
            metrics=metrics | {"best.val_acc": best},
            when=time.time(),
        )
        self._reports.put(report)

    def on_end(self, trial: TrialRecord) -> None:
        """A trial is completed, stopped or failed."""
        self._reports.put(partial(SweepRuns.end, trial=_copy(trial)))

    def catch_up(self, trial: TrialRecord) -> None:
        """A resumed sweep brings an ended trial along; what MLflow misses of it is written."""
        self._reports.put(partial(SweepRuns.catch_up, trial=_copy(trial)))

    def attach(self, files: Sequence[Path]) -> None:
        """Keep files of the sweep, such as its report, with its run."""
        self._reports.put(partial(SweepRuns.attach, files=files))

    def close(self, outcome: Outcome, timeout: float = _CLOSING) -> None:
        """End the sweep's run and whatever is still open below it.

        Waits at most `timeout` seconds; what could not be written by then is given up, and
        one line says so.
        """
        self._reports.put(partial(SweepRuns.close, outcome=outcome))
        self._reports.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._abandoned.set()
            self._notify(
                f"MLflow at {self._store.name} did not answer: {self._reports.qsize()} reports "
                "were not written there; the sweep's own folder holds everything."
            )

    # -- the background thread ----------------------------------------------------------------

    def _write(self) -> None:
        try:
            self._runs = self._open()
        except Exception as error:  # raised again in the driver, by `ready`
            self._failure = error
            return
        finally:
            self._opened.set()
        while (report := self._reports.get()) is not None:
            self._deliver(partial(report, self._runs))

    def _deliver(self, report: Callable[[], None]) -> None:
        """Call `report` until it succeeds, is refused, or the tracker gives up."""
        pauses = iter(_PAUSES)
        down = False
        while not self._abandoned.is_set():
            try:
                report()
            except Exception as error:  # whatever MLflow raises must not end the sweep
                if not is_transient(error):
                    self._notify(f"MLflow refused a report: {first_line(error)}.")
                    return
            else:
                if down:
                    self._notify(f"MLflow at {self._store.name} answers again.")
                return
            if not down:
                self._notify(
                    f"MLflow at {self._store.name} does not answer; the training goes on, and "
                    "what is missing there will be written when it is back."
                )
            down = True
            self._abandoned.wait(next(pauses, _PAUSES[-1]))


def _copy(trial: TrialRecord) -> TrialRecord:
    """The trial as it is now: the driver goes on changing its own."""
    return replace(trial, curve=dict(trial.curve), metrics=dict(trial.metrics))
