"""A Ray of our own that dies under a sweep, and all else that Ray would say on its screen."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PAUSE = 0.05
"""Seconds between two looks at Ray's processes, which Ray's own end must not forestall."""
_VITAL = ("raylet", "gcs_server")
_theirs: list[Any] = []
"""What Ray prints with, while it is silent."""
_SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def guarded(again: str) -> Iterator[None]:
    """Tell in one sentence that our own Ray died, and end with code 2; to be entered within it.

    A driver whose raylet is gone is ended by Ray's C++ within seconds, whatever it is doing and
    without a word. The study holds all that was reported by then; `again` says what goes on from
    there. Beside that, Ray is silent: what becomes of trials is told by who runs them.
    """
    from ray._private import worker

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # Ray knows no setting for what its thread prints of nodes and workers that died.
    if worker.print_to_stdstream is not _nothing:
        _theirs.append(worker.print_to_stdstream)
        worker.print_to_stdstream = _nothing
    node: Any = worker._global_node
    over = threading.Event()

    def watch() -> None:
        while not over.wait(PAUSE):
            dead = [kind for kind, _ in node.dead_processes() if kind in _VITAL]
            if dead:
                _end(f"Ray ended ({dead[0]} was killed, or died), and the sweep with it; {again}")

    watcher = threading.Thread(target=watch, name="ray-guard", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def unguarded() -> None:
    """Let Ray print again, for whoever uses it after a sweep."""
    if _theirs:
        from ray._private import worker

        worker.print_to_stdstream = _theirs.pop()


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _end(sentence: str) -> None:
    print(_SHOW_CURSOR if sys.stdout.isatty() else "", end="", flush=True)
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    os._exit(2)
