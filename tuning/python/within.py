"""What every call from Python has in common, whatever process it is made in."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from kd.cli import of_path
from kd.errors import UserError
from kd.screen import losable, silent
from tuning.engine.alone import check_alone, left_as_found

_one = threading.Lock()


@contextmanager
def called(*, verbose: bool) -> Iterator[None]:
    """What all calls have in common; an error of a path is a UserError, too.

    UserError where this process has a Ray, or another call.
    """
    if not _one.acquire(blocking=False):
        raise UserError(
            "Another search or confirmation runs in this process; wait for its end, or start this "
            "one in a process of its own."
        )
    with ExitStack() as opened:
        opened.callback(_one.release)
        opened.enter_context(left_as_found())
        opened.enter_context(losable())
        if not verbose:
            opened.enter_context(silent())
        check_alone()
        try:
            yield
        except OSError as error:
            if (refused := of_path(error)) is None:
                raise
            raise refused from None
