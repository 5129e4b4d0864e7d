"""A sweep's observer that writes to MLflow.

Only the driver writes, from one background thread, so that a slow or dead server never holds
up the training.
"""

import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from tuning.study.trials import TrialRecord
from tuning.tracking.runs import Outcome, SweepRuns
from tuning.tracking.store import Store, is_full, is_transient

CLOSES_WITHIN = 30.0
"""Seconds that the end of a sweep waits for a store that does not answer."""
FULL_CLOSES_WITHIN = 3.0
"""Seconds that it waits for one on a full disk, which nobody will free meanwhile."""
_PAUSES = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts at a server that does not answer."""


def _to_stderr(line: str) -> None:
    # Whoever read it may be gone.
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr)


class Tracker:
    """An observer of a sweep's trials that writes them to MLflow, in order and in the background.

    It works within its context: `with Tracker(…) as tracker:`. Entering starts the writer:
    importing MLflow and opening the store (some seconds) then happen beside whatever else must
    start, and `ready` waits for it and raises what went wrong. A server that dies later stops
    nothing: what it misses waits in memory and is written, with its original times, when the
    server is back. `close` ends the sweep with its outcome; leaving the context without it ends
    the sweep as interrupted after Ctrl-C, else as failed.
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
        self._sweep = sweep
        self._open = partial(
            SweepRuns, store, cell, sweep, protocol=protocol, params=params, searched=searched
        )
        self._notify = notify
        self._runs: SweepRuns | None = None
        self._failure: Exception | None = None
        self._opened = threading.Event()
        self._abandoned = threading.Event()
        self._reports: queue.SimpleQueue[Callable[[SweepRuns], None] | None] = queue.SimpleQueue()
        self._closed = False
        self._missed = 0
        self._refused = False
        self._down_told = False
        self._full = False
        self._thread = threading.Thread(target=self._write, name="mlflow-writer", daemon=True)

    def __enter__(self) -> Self:
        """Start the writer, which opens the store in the background."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was not closed; nothing that goes wrong then hides an exception on its way."""
        try:
            self.close("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        except BaseException:  # a second Ctrl-C, which ends the waiting, or nobody left to be told
            if error is None:
                raise

    def ready(self) -> None:
        """Wait until the store is open.

        Raises:
            UserError: the store does not answer, or cannot be used.
            RuntimeError: the context was not entered, so nothing opens it.
        """
        self._check_entered()
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
        self._put(partial(SweepRuns.start, trial=_copy(trial)))

    def on_epoch(self, trial: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """A trial reported the metrics of one 1-based epoch."""
        report = partial(
            SweepRuns.log_epoch, trial=_copy(trial), epoch=epoch, metrics=metrics, when=time.time()
        )
        self._put(report)

    def on_end(self, trial: TrialRecord) -> None:
        """A trial is completed, stopped or failed."""
        self._put(partial(SweepRuns.end, trial=_copy(trial)))

    def catch_up(self, trial: TrialRecord) -> None:
        """An ended trial of before, or one that is cut short; what MLflow misses is written."""
        self._put(partial(SweepRuns.catch_up, trial=_copy(trial)))

    def attach(self, files: Sequence[Path]) -> None:
        """Keep files of the sweep, such as its report, with its run."""
        self._put(partial(SweepRuns.attach, files=files))

    def close(self, outcome: Outcome, timeout: float | None = None) -> bool:
        """End the sweep's run and whatever is still open below it; nothing the second time.

        Waits at most `timeout` seconds, `CLOSES_WITHIN` or on a full disk `FULL_CLOSES_WITHIN`
        unless told; what could not be written by then is given up, and one line says so. Returns
        whether nothing was given up.
        """
        if self._closed:
            return not self._missed
        self._put(partial(SweepRuns.close, outcome=outcome))
        self._closed = True
        self._reports.put(None)
        try:
            usual = FULL_CLOSES_WITHIN if self._full else CLOSES_WITHIN
            self._thread.join(usual if timeout is None else timeout)
            self._missed = self.pending if self._thread.is_alive() else 0
        finally:
            self._abandoned.set()
        # What ends a sweep early says how to go on, and that nobody answers was said.
        if self._missed and (outcome == "finished" or not self._down_told):
            count = f"{self._missed} report{'s' * (self._missed > 1)}"
            self._notify(
                f"MLflow at {self._store.name} {'is full' if self._full else 'did not answer'}: "
                f"{count} could not be written there, and nothing is registered; when it "
                f"{'has room' if self._full else 'answers'}, --resume {self._sweep} writes what "
                "is missing from the sweep's folder."
            )
        return not self._missed

    def _put(self, report: Callable[[SweepRuns], None]) -> None:
        self._check_entered()
        self._reports.put(report)

    def _check_entered(self) -> None:
        if self._thread.ident is None:
            raise RuntimeError("A Tracker works within its context: with Tracker(…) as tracker.")

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
                    if not self._refused:
                        self._notify(
                            f"MLflow at {self._store.name} refuses what is reported "
                            f"({self._store.told(error)}); the training goes on without it."
                        )
                    self._refused = True
                    return
                self._full = is_full(error)
            else:
                if down:
                    self._notify(f"MLflow at {self._store.name} answers again.")
                self._full = False
                return
            if not down:
                self._down_told = True
                what = "has no room on its disk" if self._full else "does not answer"
                self._notify(
                    f"MLflow at {self._store.name} {what}; the training goes on, and what is "
                    "missing there will be written when it is back."
                )
            down = True
            self._abandoned.wait(next(pauses, _PAUSES[-1]))


def _copy(trial: TrialRecord) -> TrialRecord:
    """The trial as it is now: the driver goes on changing its own."""
    return replace(trial, curve=dict(trial.curve), metrics=dict(trial.metrics))
