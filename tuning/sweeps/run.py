"""Sweeps, one or several side by side: from their settings to tuned configurations."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType

from kd.data import Images, open_dataset
from search_spaces import Space
from tuning.engine.lanes import Lane
from tuning.engine.packing import share_of
from tuning.engine.run import run_trials
from tuning.engine.runtime import Node, Share, connected
from tuning.records.settings import SweepSettings
from tuning.reports.live_table import LiveTables
from tuning.reports.summary import print_cells, print_summary
from tuning.sweeps.cell import Cell
from tuning.tracking.runs import Outcome


def run_sweeps(sweeps: Sequence[tuple[SweepSettings, Space]]) -> int:
    """Run the sweeps, or what is left of them, sharing the cluster; returns the exit code.

    0: they ended; 1: a sweep had no trial that completed; 130: interrupted, can be resumed.
    """
    cells = _cells(sweeps)
    with ExitStack() as tracked:
        for cell in cells:
            tracked.enter_context(cell.tracker)
        with connected() as nodes, _termination_as_interrupt():
            whole = share_of(cells[0].settings, nodes)
            for cell in cells:
                cell.tracker.ready()
            outcome: Outcome = "finished"
            try:
                _run(cells, nodes, whole)
            except KeyboardInterrupt:
                outcome = "interrupted"
        results = [cell.finish(outcome) for cell in cells]
    interrupted = outcome == "interrupted"
    if len(results) > 1:
        print_cells(results, interrupted=interrupted)
    else:
        page = cells[0].tracker.page
        print_summary(results[0], interrupted=interrupted, trials_page=page)
    return 130 if interrupted else int(any(result.best is None for result in results))


def _cells(sweeps: Sequence[tuple[SweepSettings, Space]]) -> list[Cell]:
    """The cells, those on the same data set sharing its images."""
    loaded: dict[str, Images] = {}
    for settings, _ in sweeps:
        name = settings.base.dataset
        if name not in loaded:
            loaded[name] = open_dataset(name, settings.data_root).train
    return [Cell(settings, space, loaded[settings.base.dataset]) for settings, space in sweeps]


def _run(cells: Sequence[Cell], nodes: Sequence[Node], whole: Share) -> None:
    """Train the teachers that are missing, all at once, then search."""
    part = whole

    def teachers(opened: ExitStack, live: LiveTables) -> list[Lane]:
        lanes = [cell.teacher_lane(opened, live) for cell in cells]
        return [lane for lane in lanes if lane is not None]

    def searches(opened: ExitStack, live: LiveTables) -> list[Lane]:
        return [cell.search_lane(opened, live, part.slots) for cell in cells]

    _stage(teachers, cells, part, "First the teacher.")
    for cell in cells:
        cell.adopt_teacher()
    part = share_of(cells[0].settings, nodes, [(cell.base, cell.work) for cell in cells])
    _stage(searches, cells, part)


def _stage(
    make: Callable[[ExitStack, LiveTables], list[Lane]],
    cells: Sequence[Cell],
    part: Share,
    title: str = "",
) -> None:
    live = LiveTables()
    with ExitStack() as opened:
        lanes = make(opened, live)
        if not lanes:
            return
        if title:
            print(title, flush=True)
        with live:
            run_trials(lanes, part, cells[0].settings.folder)


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM, which clusters and services send, end a sweep as Ctrl-C does.

    Within `connected`: Ray's own handler, set when it starts, would abort the process.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
