"""Sweeps, one or several side by side: from their settings to tuned configurations."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

from kd.config import ImagesConfig
from kd.data import Images, open_dataset
from kd.data.split import train_val
from kd.errors import UserError
from search_spaces import Space
from tuning.engine.guard import guarded
from tuning.engine.mapped import mapping
from tuning.engine.memory import check_memories
from tuning.engine.packing import packing, share_of
from tuning.engine.run import run_trials
from tuning.engine.runtime import connected
from tuning.records.asked import check_ends
from tuning.records.plan import expected_epochs, set_aside, size
from tuning.records.settings import SweepSettings
from tuning.reports.files import attempted
from tuning.reports.live_table import LiveTables
from tuning.reports.sentences import report_again, resume
from tuning.reports.summary import print_cells, print_summary
from tuning.reports.wording import count
from tuning.storage.claim import claimed
from tuning.sweeps.cell import Cell, Search, finish
from tuning.sweeps.kept import keep_beginning, lend
from tuning.sweeps.signals import heard, held
from tuning.sweeps.teacher import ready, teach
from tuning.tracking.runs import Outcome
from tuning.tracking.tracker import Tracker

_SHARED = ("cpus_per_trial", "gpus_per_trial", "workers_per_trial")
"""What sweeps that run side by side must agree in, as they share one run of Ray Tune."""


def run_sweeps(sweeps: Sequence[tuple[SweepSettings, Space]]) -> int:
    """Run the sweeps, or what is left of them, sharing the cluster; returns the exit code.

    0: they ended; 1: a sweep had no trial that completed; 130: interrupted, can be resumed.

    Raises:
        UserError: sweeps that cannot share a run, or what ended one.
        KeyboardInterrupt: before the search began, or again while what it ended was closed.
    """
    settings = _agreed([settings for settings, _ in sweeps])
    with ExitStack() as claims:
        for own, _ in sweeps:
            claims.enter_context(claimed(own.folder))
        claims.enter_context(held())
        return _run(settings, ready(_cells(sweeps)))


def _run(settings: SweepSettings, cells: list[Cell]) -> int:
    folder = settings.folder
    for cell in cells:
        cell.begin()
    # Before Ray and its workers: what takes time is measured while nothing else runs.
    cells = [cell.weighed() for cell in cells]
    searches: list[Search | None] = [None] * len(cells)
    outcome: Outcome = "finished"
    _announce(cells)
    with ExitStack() as kept:
        # MLflow takes seconds to open, beside Ray's.
        trackers = [kept.enter_context(cell.tracker()) for cell in cells]
        with connected(mps=settings.mps_wanted) as nodes, ExitStack() as opened:
            kept.enter_context(heard())
            again = resume([cell.settings for cell in cells])
            opened.enter_context(guarded(f"go on with: {again}"))
            try:
                whole = share_of(settings, nodes)
                for cell in cells:
                    check_ends(cell.settings, whole.gpus)
                check_memories([job for cell in cells for job in cell.jobs()], whole, len(nodes))
                cells = _mapped(cells)
                if any(cell.untaught for cell in cells):
                    # Before what takes longer than MLflow does to say that it cannot be had.
                    _opened(trackers)
                    cells = teach(cells, whole, folder)
                found = packing(settings, nodes, [(cell.base, cell.work) for cell in cells])
                _opened(trackers)
                part = found.share
                cells = [c.packed(part, r) for c, r in zip(cells, found.rates, strict=True)]
                for cell in cells:
                    lend(cell)
                live = LiveTables()
                searches[:] = [
                    Search.open(cell, opened, live, tracker, part.slots)
                    for cell, tracker in zip(cells, trackers, strict=True)
                ]
                if len(cells) == 1 and searches[0]:
                    # Of several, each has slots that the others leave it.
                    searches[0].foresee()
                with live:
                    run_trials([search.lane for search in searches if search], part, folder)
                for search in filter(None, searches):
                    search.foresight.wait()
                    keep_beginning(search.cell)
            except KeyboardInterrupt:
                outcome = "interrupted"
        results = [
            finish(cell, search, tracker, outcome)
            for cell, search, tracker in zip(cells, searches, trackers, strict=True)
        ]
    interrupted = outcome == "interrupted"
    with attempted("The summary cannot be shown", report_again(results[0].sweep)):
        if len(results) > 1:
            print_cells(results, interrupted=interrupted)
        else:
            print_summary(results[0], interrupted=interrupted, trials_page=trackers[0].page)
    return 130 if interrupted else int(any(result.best is None for result in results))


def _mapped(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with their images in Ray's store; nothing holds on to what they were before."""
    one = mapping()
    return [replace(cell, train=one(cell.train), val=one(cell.val)) for cell in cells]


def _opened(trackers: Sequence[Tracker]) -> None:
    """Wait until MLflow is there; UserError where it cannot be had."""
    for tracker in trackers:
        tracker.ready()


def _announce(cells: Sequence[Cell]) -> None:
    """Say what begins now: Ray and its workers take some seconds, in which nothing is seen."""
    for cell in cells:
        expected = expected_epochs(cell.settings)
        about = f", about {count(expected[0], 'epoch')} in all" if expected else ""
        print(f"{cell.settings.name}: {size(cell.settings)}{about}")
        for line in set_aside(cell.settings):
            print(f"{cell.settings.name}: {line}")
    print("Starting Ray and its workers …", flush=True)


def _agreed(sweeps: Sequence[SweepSettings]) -> SweepSettings:
    """The first of the sweeps; UserError unless they all hold as much a trial."""
    first, *others = sweeps
    for other in others:
        for name in _SHARED:
            if (own := getattr(first, name)) != (its := getattr(other, name)):
                flag = f"--{name.replace('_', '-')}"
                raise UserError(
                    f"{first.name} has {flag} {own} and {other.name} has {its}; give {flag} for "
                    "both, or resume one after the other."
                )
    return first


def _cells(sweeps: Sequence[tuple[SweepSettings, Space]]) -> list[Cell]:
    """The cells; those on the same data set share its images, those of one split its parts."""
    loaded: dict[tuple[str, Path | None, ImagesConfig], Images] = {}
    cut, cells = cache(train_val), []
    for settings, space in sweeps:
        source = (settings.base.dataset, settings.data_root, settings.base.images)
        if source not in loaded:
            dataset = open_dataset(*source[:2], images=source[2])
            # Now, and not when it is opened after hours of searching; nothing of it is kept.
            dataset.check_test()
            loaded[source] = dataset.train
        cells.append(Cell.of(settings, space, loaded[source], cut))
    return cells
