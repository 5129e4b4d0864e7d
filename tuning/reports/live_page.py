"""The HTML report of a sweep that is still running."""

import time
from collections.abc import Iterable

from kd.screen import warn
from tuning.records.result import Sweep, SweepResult
from tuning.reports.files import attempted, write_page
from tuning.study.trials import TrialRecord

PAUSE = 10.0
"""Seconds between two writings, at least."""
SHARE = 0.05
"""Of the driver's time, at most so much goes into writing."""


class LiveReport:
    """An observer that keeps report.html in the sweep's folder up to date.

    `trials` are those that an interrupted sweep brings along.
    """

    def __init__(
        self, sweep: Sweep, trials: Iterable[TrialRecord] = (), pause: float = PAUSE
    ) -> None:
        self._sweep = sweep
        self._pause = pause
        self._trials = {trial.number: trial for trial in trials}
        self._next = 0.0
        self._said = False

    def on_start(self, trial: TrialRecord) -> None:
        """Take the trial into the report."""
        self._trials[trial.number] = trial

    def on_epoch(self, trial: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """Write the report, unless that was done a moment ago."""
        self._trials[trial.number] = trial
        self._refresh()

    def on_end(self, trial: TrialRecord) -> None:
        """Write the report, unless that was done a moment ago."""
        self._trials[trial.number] = trial
        self._refresh()

    def _refresh(self) -> None:
        began = time.monotonic()
        if began < self._next:
            return
        trials = [self._trials[number] for number in sorted(self._trials)]
        with attempted("The page of the running sweep is not written", say=self._say_once):
            write_page(SweepResult(self._sweep, trials), live=True)
        ended = time.monotonic()
        self._next = ended + max(self._pause, (ended - began) / SHARE)

    def _say_once(self, sentence: str) -> None:
        if not self._said:
            warn(f"{sentence} The report at the end does not depend on it.")
        self._said = True
