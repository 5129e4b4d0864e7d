"""Between a trial's group of workers and Tune's actor for the trial: reports, and an answer."""

import asyncio
import time
from typing import Any

import ray

PAUSE = 0.05
"""Seconds between two looks for the answer."""
_NONE = (-1, 0)


class Mailbox:
    """Reports of a group, in order; and after which of them its trial is known to go on."""

    def __init__(self) -> None:
        self._actor: Any = ray.remote(num_cpus=0)(_Mailbox).remote()

    def put(self, report: object) -> None:
        """Add a report."""
        ray.get(self._actor.put.remote(report))

    def get(self) -> Any:
        """Take the next report, once there is one."""
        return ray.get(self._actor.get.remote())

    def clear(self) -> None:
        """Throw away what is in it: another trial begins."""
        ray.get(self._actor.clear.remote())

    def go_on(self, trial: int, epoch: int) -> None:
        """The trial goes on after that epoch, which it reported."""
        self._actor.go_on.remote(trial, epoch)

    def until_passed(self, trial: int, epoch: int) -> None:
        """Wait until the trial is known to go on after that epoch, the last that it reported."""
        while ray.get(self._actor.passed.remote()) != (trial, epoch):
            time.sleep(PAUSE)

    def close(self) -> None:
        """End it."""
        ray.kill(self._actor)


class _Mailbox:
    """The actor, whose methods wait without holding each other up."""

    def __init__(self) -> None:
        self._reports: asyncio.Queue[Any] = asyncio.Queue()
        self._passed = _NONE

    async def put(self, report: object) -> None:
        await self._reports.put(report)

    async def get(self) -> Any:
        return await self._reports.get()

    async def clear(self) -> None:
        while not self._reports.empty():
            self._reports.get_nowait()
        self._passed = _NONE

    async def go_on(self, trial: int, epoch: int) -> None:
        self._passed = (trial, epoch)

    async def passed(self) -> tuple[int, int]:
        return self._passed
