"""What a person sees while a sweep runs: a live table, or plain lines without a terminal."""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuning.records.result import Sweep, SweepResult
from tuning.reports.wording import clock, count, duration, numbered, percent, short, value_of
from tuning.study.trials import State, TrialRecord

TOP = 3
"""How many of the best finished trials the table shows."""
_SHOW_CURSOR = "\x1b[?25h"


class LiveTable:
    """An `Observer` that shows a sweep as it goes; used in a `with` statement.

    `trials` are those that an interrupted sweep brings along. On a terminal the table redraws
    itself four times a second, so that the clock moves while no trial reports. `label` begins
    its lines where several sweeps print theirs.
    """

    def __init__(
        self,
        sweep: Sweep,
        trials: Iterable[TrialRecord] = (),
        console: Console | None = None,
        label: str = "",
    ) -> None:
        self.sweep = sweep
        self._label = label
        self.console = console or Console(highlight=False)
        self._trials = {trial.number: trial for trial in trials}
        self._brought = self._result().epochs_spent
        self._began = self._last_event = time.monotonic()
        self._live: Live | None = None
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._began = self._last_event = time.monotonic()
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = Live(self, console=self.console)
            self._opened.enter_context(_on_screen(self._live))
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()
        self._live = None

    def note(self, sentence: str) -> None:
        """Print a sentence, above the table where there is one."""
        self.console.print(sentence, markup=False, soft_wrap=True)
        self.console.file.flush()

    # -- the observer -------------------------------------------------------------------------

    def on_start(self, trial: TrialRecord) -> None:
        """Take the trial into the table."""
        self._trials[trial.number] = trial

    def on_epoch(self, trial: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """Show the trial's newest val accuracy."""
        self._trials[trial.number] = trial
        self._last_event = time.monotonic()

    def on_end(self, trial: TrialRecord) -> None:
        """Show the outcome; without a table, as a line of its own, and one more for a new best."""
        self._trials[trial.number] = trial
        self._last_event = time.monotonic()
        result = self._result()
        best = result.best
        risen = best is not None and best.number == trial.number
        if self._live:
            return
        ended = len(result.of("completed", "stopped", "failed"))
        begin = f"[{self._clock()}] {self._label}"
        self.note(f"{begin}{ended}/{self.sweep.trials}  {self._outcome(trial)}")
        if risen:
            self.note(f"{begin}new best: {numbered(trial)}, val acc {trial.score:.2f} %")

    def _outcome(self, trial: TrialRecord) -> str:
        if trial.state == "failed":
            return f"{numbered(trial)} failed at epoch {trial.epoch}: {trial.reason or 'no reason'}"
        values = ", ".join(f"{short(n)} {value_of(trial, n)}" for n in self.sweep.searched)
        return (
            f"{numbered(trial)} {trial.state} at epoch {trial.epoch}/{self.sweep.epochs}, "
            f"val acc {percent(trial.score)}" + (f" ({values})" if values else "")
        )

    # -- the clock ----------------------------------------------------------------------------

    def _clock(self) -> str:
        return clock(time.monotonic() - self._began)

    def seconds_left(self) -> float | None:
        """An estimate of the seconds to the sweep's end; None before the first epoch.

        A trial not yet begun is expected to last as long as the ended ones did on average, a
        running one as long as those of them that got further than it has.
        """
        result = self._result()
        spent = result.epochs_spent - self._brought
        if spent <= 0:
            return None
        lengths = [t.epoch for t in result.of("completed", "stopped")] or [self.sweep.epochs]
        running = []
        for trial in result.of("running"):
            longer = [n for n in lengths if n > trial.epoch] or [self.sweep.epochs]
            running.append(sum(longer) / len(longer) - trial.epoch)
        waiting = self.sweep.trials - len(result.trials)
        epochs = sum(running) + max(waiting, 0) * sum(lengths) / len(lengths)
        slot_seconds = (self._last_event - self._began) * self.sweep.slots / spent
        in_parallel = max(epochs / self.sweep.slots, max(running, default=0.0))
        return max(in_parallel * slot_seconds - (time.monotonic() - self._last_event), 0.0)

    # -- the table ----------------------------------------------------------------------------

    def _result(self) -> SweepResult:
        ordered = sorted(self._trials.values(), key=lambda trial: trial.number)
        return SweepResult(self.sweep, ordered)

    def __rich__(self) -> RenderableType:
        result = self._result()
        return Group("", self._head(result), self._bar(result), "", self._rows(result))

    def brief(self) -> RenderableType:
        """Three lines: the cell, how far it is, and its best so far."""
        result = self._result()
        best = result.best
        found = f"best {best.score:.2f} %, {numbered(best)}" if best else "no trial completed yet"
        return Group("", self._head(result), self._bar(result), Text(found, style="green"))

    def show_in(self, live: Live) -> None:
        """Leave the screen to `live`, which shows this table among others."""
        self._live = live

    def _head(self, result: SweepResult) -> RenderableType:
        title = Text.assemble((self.sweep.cell, "bold"), ("  " + self.sweep.name, "dim"))
        title.truncate(self.console.width, overflow="ellipsis")
        return title

    def _bar(self, result: SweepResult) -> RenderableType:
        counts = Text()
        for state, style in _STYLES.items():
            n = len(result.of(state))
            counts.append(f"{n} {state}  ", style=style if n else "dim")
        left = self.seconds_left()
        passed = Text(self._clock(), no_wrap=True)
        if left is not None:
            passed.append(f"  about {duration(left)} left", style="dim")
        ended = len(result.of("completed", "stopped", "failed"))
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=self.sweep.trials, completed=ended, width=self.console.width // 4)
        pieces: list[RenderableType] = [Text(f"{ended}/{self.sweep.trials} trials"), bar, passed]
        grid.add_row(*(pieces if self.console.width >= 60 else pieces[::2]))
        return Group(grid, counts)

    def _rows(self, result: SweepResult) -> RenderableType:
        if not result.trials:
            return Text("The first trial is about to start.", style="dim")
        shown = self._columns()
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("")
        table.add_column("trial", justify="right")
        table.add_column("epoch", justify="right")
        table.add_column("val acc", justify="right")
        for name in shown:
            table.add_column(short(name), justify="right", no_wrap=True)
        for mark, style, trial in self._chosen(result):
            score = f"{trial.score:.2f}" if trial.score is not None else "–"
            table.add_row(
                mark,
                str(trial.number),
                f"{trial.epoch}/{self.sweep.epochs}",
                score,
                *(value_of(trial, name) for name in shown),
                style=style,
            )
        hidden = len(self.sweep.searched) - len(shown)
        more = Text(f"{count(hidden, 'more searched value')} not shown", style="dim")
        return Group(table, more) if hidden else table

    def _chosen(self, result: SweepResult) -> list[tuple[str, str, TrialRecord]]:
        """The best, the paper's default and the running trials, as many as the screen holds."""
        done = sorted(result.of("completed"), key=lambda t: (-(t.score or 0.0), t.number))
        picked = done[:TOP]
        default = result.default
        if default and default.state != "running" and default not in picked:
            picked.append(default)
        rows = []
        for trial in picked:
            best = trial is result.best
            paper = "paper's" if trial.is_default else ""
            mark, style = ("best", "bold green") if best else (paper, "cyan" if paper else "")
            rows.append((mark, style, trial))
        room = max(self.console.height - 10 - len(rows), 1)
        running = [("running", "", trial) for trial in result.of("running")[-room:]]
        return [*rows, *running]

    def _columns(self) -> list[str]:
        """The searched parameters whose columns fit beside the fixed ones."""
        room = self.console.width - 34
        shown: list[str] = []
        for name in self.sweep.searched:
            widest = max((len(value_of(t, name)) for t in self._result().trials), default=0)
            width = max(len(short(name)), widest) + 2
            if width <= room:
                room -= width
                shown.append(name)
        return shown


class LiveTables:
    """The sweeps that run side by side: the whole table of one, or a few lines for each."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._tables: list[LiveTable] = []
        self._opened = ExitStack()

    def add(self, sweep: Sweep, trials: Iterable[TrialRecord] = ()) -> LiveTable:
        """The observer that shows `sweep`; to be added before the `with` statement."""
        table = LiveTable(sweep, trials, self.console, label=f"{sweep.cell}  ")
        self._tables.append(table)
        return table

    def __enter__(self) -> Self:
        if len(self._tables) == 1:
            self._tables[0]._label = ""
            self._opened.enter_context(self._tables[0])
        elif self.console.is_terminal and not self.console.is_dumb_terminal:
            live = Live(self, console=self.console)
            self._opened.enter_context(_on_screen(live))
            for table in self._tables:
                table.show_in(live)
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def __rich__(self) -> RenderableType:
        return Group(*(table.brief() for table in self._tables))


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


_STYLES: dict[State, str] = {
    "running": "",
    "completed": "green",
    "stopped": "yellow",
    "failed": "red",
}
