"""A machine that is told to go, as Ray knows it: its trials are given back before it is gone.

Whoever takes a machine back (EC2 two minutes before it takes a spot instance, Kubernetes a pod)
has Ray told of it by `ray drain-node`; Ray begins nothing there any more.
"""

import time
from collections.abc import Callable
from contextlib import suppress

EVERY = 1.0
"""Seconds between two looks."""


LEFT = "The machine is told to go, and gave its trial back."
"""What Ray is told of a trial that ends so."""


class GivenBackError(Exception):
    """A trial has left a machine that is told to go; its checkpoint is whole."""


def told_to_go() -> Callable[[], bool]:
    """What says whether the machine of this process is told to go; asks Ray now and then."""
    import ray
    from ray._private.state import state

    node, asked, told = ray.get_runtime_context().get_node_id(), -EVERY, False

    def look() -> bool:
        nonlocal asked, told
        if not told and time.monotonic() - asked >= EVERY:
            # A head that does not answer is no reason to leave.
            with suppress(Exception):
                told = node in state.get_draining_nodes()
            asked = time.monotonic()
        return told

    return look


def given_back() -> Exception:
    """What a trial ends with in Ray's eyes that is to go on elsewhere: no failure of it."""
    from ray.exceptions import RayActorError

    # Its parts are given by position, as it is sent by them.
    return RayActorError("", LEFT, False, True)
