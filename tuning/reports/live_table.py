"""The live table of the sweeps that run, or plain lines where there is no terminal."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.text import Text

from kd.screen import is_silent
from tuning.records.result import Sweep, SweepResult
from tuning.reports import live_rows
from tuning.reports.console import console as standard
from tuning.reports.escapes import terminal
from tuning.reports.estimate import seconds_left
from tuning.reports.files import attempted
from tuning.reports.wording import clock, numbered, percent, short, value_of
from tuning.study.trials import TrialRecord

Names = Callable[[TrialRecord], str]
"""What the trials of a list are called."""
_SHOW_CURSOR = "\x1b[?25h"


class LiveTable:
    """An `Observer` that shows a sweep as it goes; used in a `with` statement.

    `trials` are those that an interrupted sweep brings along. `names` calls those of a list that
    is trained, so that none is taken for a trial of the search. On a terminal
    the table redraws itself four times a second, so that the clock moves while no trial reports.
    """

    def __init__(
        self,
        sweep: Sweep,
        trials: Iterable[TrialRecord] = (),
        console: Console | None = None,
        *,
        names: "Names | None" = None,
    ) -> None:
        self.sweep = sweep
        self._names = names
        self.console = console or standard()
        self._trials = {trial.number: trial for trial in trials}
        brought = self._result()
        self._brought = brought.epochs_spent
        self._top = brought.leader.score or 0.0 if brought.leader else -1.0
        self._began = self._last_report = time.monotonic()
        self._first_report: tuple[float, int] | None = None
        self._waiting: set[int] = set()
        self._label = ""
        self._drawn = False
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._began = self._last_report = time.monotonic()
        if _can_draw(self.console):
            self._drawn = True
            self._opened.enter_context(_on_screen(Live(self, console=self.console)))
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()
        self._drawn = False

    def join(self, *, drawn: bool) -> None:
        """Be one table of several: lines say whose they are; none are printed where `drawn`."""
        self._label = f"{self.sweep.cell}  "
        self._drawn = drawn

    def note(self, sentence: str) -> None:
        """Print a sentence, above the table where there is one."""
        self.console.print(terminal(sentence), soft_wrap=True)
        self.console.file.flush()

    # -- the observer -------------------------------------------------------------------------

    def on_start(self, trial: TrialRecord) -> None:
        """Take the trial into the table."""
        self._trials[trial.number] = trial
        if self._first_report is None:
            self._waiting.add(trial.number)

    def on_epoch(self, trial: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """Show the trial's newest val accuracy."""
        self._trials[trial.number] = trial
        self._last_report = time.monotonic()
        self._waiting.discard(trial.number)
        if self._first_report is None and not self._waiting:
            # Those of all slots come at once, and their start-up would be left out for one alone.
            self._first_report = self._last_report, self._result().epochs_spent

    def on_end(self, trial: TrialRecord) -> None:
        """Show the outcome; without a table, as a line of its own, and one more for a new best."""
        self._trials[trial.number] = trial
        self._waiting.discard(trial.number)
        self._last_report = time.monotonic()
        if self._drawn:
            return
        result = self._result()
        begin = f"[{self._clock()}] {self._label}"
        ended, planned = len(result.ended), self.sweep.trials
        number = ended if planned is None else f"{ended}/{planned}"
        self.note(f"{begin}{number}  {self._outcome(trial)}")
        if trial.state == "completed" and (trial.score or 0.0) > self._top:
            self._top = trial.score or 0.0
            if not self._names:
                self.note(f"{begin}new best: {numbered(trial)}, val acc {percent(trial.score)}")

    def _outcome(self, trial: TrialRecord) -> str:
        name = self._names(trial) if self._names else numbered(trial)
        if trial.state == "failed":
            return f"{name} failed at epoch {trial.epoch}: {trial.reason or 'no reason'}"
        values = ", ".join(f"{short(n)} {value_of(trial, n)}" for n in self.sweep.searched)
        score = "" if trial.diverged else f", val acc {percent(trial.score)}"
        ended = f"{name} {trial.outcome} at epoch {trial.epoch}/{self.sweep.epochs}{score}"
        return ended + (f" ({values})" if values else "")

    # -- the table ----------------------------------------------------------------------------

    def seconds_left(self) -> float | None:
        """An estimate of the seconds to the sweep's end; None before the first epoch."""
        result, begin, known = self._result(), self._began, self._brought
        if self._first_report and self._first_report[0] < self._last_report:
            # What workers take to start is paid once.
            begin, known = self._first_report
        return seconds_left(
            result,
            trained=result.epochs_spent - known,
            within=self._last_report - begin,
            since_report=time.monotonic() - self._last_report,
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return _drawn(self._whole, console, options)

    def brief(self) -> RenderableType:
        """A few lines: the cell, how far it is, and its best so far."""
        result = self._result()
        best = [] if self._names else [live_rows.best_line(result)]
        return Group(*self._head(result), *best)

    def _whole(self) -> RenderableType:
        result = self._result()
        rows = live_rows.trials(result, self.console.width, self.console.height, self._names)
        return Group(*self._head(result), "", rows)

    def _head(self, result: SweepResult) -> list[RenderableType]:
        width = self.console.width
        left, passed = self.seconds_left(), self._clock()
        what = "training" if self._names else "trial"
        bar = live_rows.progress(result, width, passed=passed, seconds_left=left, what=what)
        return ["", live_rows.title(self.sweep, width), bar]

    def _clock(self) -> str:
        return clock(time.monotonic() - self._began)

    def _result(self) -> SweepResult:
        ordered = sorted(self._trials.values(), key=lambda trial: trial.number)
        return SweepResult(self.sweep, ordered)


class LiveTables:
    """The sweeps that run side by side: the whole table of one, or a few lines for each."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or standard()
        self._tables: list[LiveTable] = []
        self._opened = ExitStack()

    def add(
        self, sweep: Sweep, trials: Iterable[TrialRecord] = (), names: Names | None = None
    ) -> LiveTable:
        """The observer that shows `sweep`; to be added before the `with` statement."""
        table = LiveTable(sweep, trials, self.console, names=names)
        self._tables.append(table)
        return table

    def __enter__(self) -> Self:
        if len(self._tables) == 1:
            self._opened.enter_context(self._tables[0])
            return self
        drawn = _can_draw(self.console)
        if drawn:
            self._opened.enter_context(_on_screen(Live(self, console=self.console)))
        for table in self._tables:
            table.join(drawn=drawn)
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return _drawn(self._briefs, console, options)

    def _briefs(self) -> RenderableType:
        return Group(*(table.brief() for table in self._tables))


def _drawn(
    make: Callable[[], RenderableType], console: Console, options: ConsoleOptions
) -> RenderResult:
    """What `make` makes, or a sentence in its place: the error would end the sweep."""
    instead: list[str] = []
    with attempted("The table cannot be drawn", say=instead.append):
        return list(console.render(make(), options))
    return list(map(Text, instead))


def _can_draw(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal and not is_silent()


@contextmanager
def _on_screen(live: Live) -> Iterator[None]:
    """Draw `live`, and leave a whole screen, whatever interrupts it.

    An interrupt may come within rich's own printing, which then holds back whatever it is given.
    """
    try:
        live.start()
        yield
    finally:
        live.stop()
        live.console.file.write(_SHOW_CURSOR)
        live.console.file.flush()
