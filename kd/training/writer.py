"""When a run's state is written, and the thread that writes it while the training goes on."""

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from threading import Thread
from traceback import clear_frames
from types import TracebackType
from typing import Self

from kd.training.state import State, snapshot

SHARE = 0.05
"""The part of the training's time that checkpoints may cost."""
AT_RISK = 60.0
"""Seconds of work that the end of a process may cost, where an epoch is shorter."""


def is_due(work: float, epoch: float, cost: float | None) -> bool:
    """Whether the state is written after this epoch, or after a later one.

    It is where that is cheap, and where a process that ended after the next epoch, with the next
    state still on its way, would take more than `AT_RISK` along: always, if an epoch is longer.

    Args:
        work: seconds trained since the state that was written last, this epoch's included.
        epoch: seconds that an epoch takes.
        cost: seconds that the last checkpoint took, those in which the training waited and those
            of the thread; None where there was none yet, and one has to be made to know.
    """
    if cost is None or cost <= SHARE * work:
        return True
    return work + epoch + cost > AT_RISK


class CheckpointWriter:
    """Keeps the newest state of one run on the disk, at no more cost than it is worth.

    Its thread writes a copy on the host, one at a time, which ends with the write. What goes wrong
    there is raised by the next call. Leaving the `with` waits for the write on its way, and raises
    what went wrong with it unless something else did.

    Args:
        write: puts a state where it is kept, the old one's place, in one step.
        always: epochs trained after which the state is written in any case, as it is after the
            first that is offered.
    """

    def __init__(self, write: Callable[[State], None], always: Collection[int] = ()) -> None:
        self.saved = 0
        """The epoch of the newest state that is whole where it is kept; 0 before there is one."""
        self._write = write
        self._always = frozenset(always)
        self._work = 0.0
        self._cost: float | None = None
        self._thread: Thread | None = None
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the write on its way."""
        if error is None:
            self.settle()
        else:
            with suppress(Exception):
                self.settle()

    def offer(self, epoch: int, seconds: float, state: Callable[[], State]) -> None:
        """After `epoch`, which took so many `seconds`: copy `state()` and write it, if it is due.

        Where the last one is still on its way, a later one is written, unless the epoch is among
        `always`.
        """
        self._work += seconds
        asked = epoch in self._always
        if self._thread is not None and self._thread.is_alive() and not asked:
            return
        self.settle()
        if asked or is_due(self._work, seconds, self._cost):
            began = time.perf_counter()
            held = snapshot(state())
            waited = time.perf_counter() - began
            self._work = 0.0
            self._thread = Thread(
                target=self._keep, args=(epoch, held, waited), name="checkpoint", daemon=True
            )
            self._thread.start()

    def finish(self, epoch: int, state: Callable[[], State]) -> None:
        """Write `state()`, that of `epoch`, now and here, where nothing trains on meanwhile."""
        self.settle()
        if self.saved < epoch:
            self._write(state())
            self.saved, self._work = epoch, 0.0

    def settle(self) -> None:
        """Wait until nothing is on its way; raises what went wrong with it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _keep(self, epoch: int, held: State, waited: float) -> None:
        began = time.perf_counter()
        try:
            self._write(held)
        except Exception as error:  # raised again in the caller's thread
            # It would keep the copy, which may be large, for as long as it is kept itself.
            clear_frames(error.__traceback__)
            self._error = error
        else:
            self.saved = epoch
            self._cost = waited + time.perf_counter() - began
        finally:
            del held
