"""A simulated search, repeated with other seeds, in as many processes as are asked for."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from kd.errors import UserError, unknown
from tuning.replaying.curves import Curves
from tuning.replaying.generated import KINDS, Generated
from tuning.replaying.recorded import Recorded
from tuning.replaying.simulate import Course, simulate
from tuning.replaying.strategy import Plan

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Drawn:
    """A source for each seed: another landscape of `kind` for trials of `epochs` epochs.

    `paced` as of `Generated`.
    Raises `UserError` for a kind that there is not.
    """

    kind: str
    epochs: int
    paced: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("kind", self.kind, KINDS)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.kind

    @property
    def seeds(self) -> int:
        """Of how many seeds each of its curves is the mean."""
        return 1

    @property
    def size(self) -> None:
        """How many curves there are: as many as are asked for."""

    def source(self, seed: int) -> Curves:
        """The landscape of `seed`."""
        return Generated(self.kind, seed, self.epochs, paced=self.paced)

    @property
    def offers(self) -> tuple[str, ...]:
        """The names of the objectives that they know."""
        return Generated.offers


@dataclass(frozen=True)
class Kept:
    """The same recorded curves for every seed."""

    recorded: Recorded

    @property
    def name(self) -> str:
        """What they are called."""
        return self.recorded.name

    @property
    def size(self) -> int:
        """How many curves there are."""
        return len(self.recorded)

    @property
    def epochs(self) -> int:
        """The epochs of a whole trial."""
        return self.recorded.base.epochs

    @property
    def seeds(self) -> int:
        """Of how many seeds each of its curves is the mean."""
        return self.recorded.seeds

    @property
    def offers(self) -> tuple[str, ...]:
        """The names of the objectives that they know."""
        return self.recorded.offers

    def source(self, seed: int) -> Curves:
        """The tables."""
        return self.recorded


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """One repeat, by its seed: how the search went, the trials that began, those completed.

    `best` is the best truth of its source, in percent.
    """

    seed: int
    best: float
    course: Course
    trials: int
    completed: int


def one(sources: Drawn | Kept, plan: Plan, seed: int) -> Repeat:
    """The repeat of `seed`, which draws the landscape, the configurations and the trainings."""
    source = sources.source(seed)
    found = simulate(source, plan, seed)
    return Repeat(
        seed=seed,
        best=source.best(),
        course=found.course,
        trials=len(found.records),
        completed=sum(record.state == "completed" for record in found.records),
    )


def repeats(sources: Drawn | Kept, plan: Plan, seeds: Sequence[int], jobs: int) -> Iterator[Repeat]:
    """The repeats in the order of `seeds`, whatever `jobs`, the number of processes.

    Raises `UserError` where one of the processes dies.
    """
    return in_processes(partial(one, sources, plan), seeds, jobs)


def in_processes(work: Callable[[T], R], items: Sequence[T], jobs: int) -> Iterator[R]:
    """What `work` makes of each of `items`, in their order; in this process if one is enough."""
    if (count := min(jobs, len(items))) <= 1:
        yield from map(work, items)
        return
    others = set(multiprocessing.active_children())
    spawned = multiprocessing.get_context("spawn")
    # The work is sent once to each: recorded curves may be megabytes.
    pool = ProcessPoolExecutor(count, spawned, initializer=_begin, initargs=(work,))
    try:
        # An interrupt is this process's to hear; those that are started now inherit that.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            made = [pool.submit(_do, item) for item in items]
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for future in made:
            yield future.result()
    except BrokenProcessPool:
        raise UserError(
            "A process of the replay was ended from outside; start it again, with fewer --jobs if "
            "memory is short."
        ) from None
    except BaseException:
        # What runs may run for minutes, and nobody waits for it after Ctrl-C.
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown()


_work: Callable[[Any], Any] = repr
"""What a process of the pool was sent to do."""


def _begin(work: Callable[[Any], Any]) -> None:
    """Know the work, and end with the process that sent it, whatever ends that."""
    global _work
    _work = work

    def wait() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _do(item: Any) -> Any:
    return _work(item)
