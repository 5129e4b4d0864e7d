"""A folder for other processes' files, which end with this process, however it ends.

Servers that this project starts (Ray's, MLflow's) start processes of their own, which may outlive
a driver that is killed or loses its terminal. All of them have a log open in the folder, and so
they are found: this file is also the program that waits for the driver's end, ends whoever still
writes there, and removes the folder. It imports nothing but the standard library.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ENDS_WITHIN = 10.0
"""Seconds in which whoever writes into the folder has ended, when the driver has."""


@contextmanager
def lifeline(parent: Path | None = None) -> Iterator[Path]:
    """A new folder of this user's alone, in `parent` or where temporary files are kept.

    Whoever else has a file in it open for writing when the `with` ends, or this process does, is
    killed.
    """
    folder = Path(tempfile.mkdtemp(prefix="kd-", dir=parent)).resolve()
    # Of its own session, so that neither Ctrl-C nor a closed terminal ends it.
    watcher = subprocess.Popen(
        [sys.executable, "-I", __file__, folder, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield folder
    finally:
        watcher.communicate()


def _watch(folder: Path, driver: int) -> None:
    """Wait until the driver's end of the pipe is closed, by itself or by the driver's end."""
    sys.stdin.buffer.read()
    until = time.monotonic() + ENDS_WITHIN
    while (left := set(_writers(folder)) - {driver}) and time.monotonic() < until:
        for number in left:
            with suppress(OSError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def _writers(folder: Path) -> Iterator[int]:
    """The processes that have a file in `folder` open for writing."""
    for process in Path("/proc").iterdir():
        # Processes end meanwhile, and those of others cannot be looked into.
        with suppress(OSError):
            if process.name.isdigit() and any(_writes(f, folder) for f in process.glob("fd/*")):
                yield int(process.name)


def _writes(descriptor: Path, folder: Path) -> bool:
    with suppress(OSError):
        if os.readlink(descriptor).startswith(f"{folder}/"):
            info = (descriptor.parents[1] / "fdinfo" / descriptor.name).read_text()
            flags = next(line for line in info.splitlines() if line.startswith("flags:"))
            return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False


if __name__ == "__main__":
    _watch(Path(sys.argv[1]), int(sys.argv[2]))
