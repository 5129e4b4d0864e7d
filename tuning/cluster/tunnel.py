"""A tunnel to the Ray on a cluster's head.

Ray's job API listens on the head's loopback interface only. It is reached through ssh, with the
key that started the cluster, and so is the token that it asks for: neither is kept here.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue

import yaml

from kd.errors import UserError

ANSWER_WITHIN = 8.0
"""Seconds that a head may take to let us in, and half as many to answer a question."""
_FOUND_WITHIN = 60.0
"""Seconds that importing Ray and asking the cloud for the head's state may take."""
_SET_UP_WITHIN = 180.0
"""Seconds that a `ray up` may leave the head in a state that is not its last."""
_ASKED_EVERY = 3.0
TOKEN_FILE = "~/.ray/auth_token"
_DASHBOARD = 8265
MLFLOW = 5000
"""The port of MLflow on the head's loopback interface, and through the tunnel on this one's."""
_FOUND, _STATE_IS, _TOKEN_IS = "kd-head", "kd-state:", "kd-token:"
_NOT_UP, _NOT_SET_UP = 3, 4


class NotUpError(UserError):
    """The cluster of a file has no running head."""


@contextmanager
def tunnel(file: Path) -> Iterator[tuple[int, str]]:
    """A port of this machine that leads to the head's job API, and the token for it.

    While it is open MLflow's pages are here under the address that they have on the head. A head
    that a `ray up` is setting up is waited for, with a line that says so.

    Raises:
        NotUpError: there is no head.
        UserError: it is not set up, or does not let us in.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    held = _Held(file, port)
    try:
        yield port, held.token()
    finally:
        held.end()


class _Held:
    """The process that holds a tunnel, and what it says.

    It has a session of its own: the terminal's Ctrl-C must not cut the tunnel first.
    """

    def __init__(self, file: Path, port: int) -> None:
        self.file = file
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tuning.cluster.tunnel", str(file), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: Queue[str | None] = Queue()
        self._said: list[str] = []
        self._state = ""
        threading.Thread(target=self._listen, daemon=True).start()

    def token(self) -> str:
        """The head's token, once it has let us in; else the error that says why it has not."""
        patience = _FOUND_WITHIN
        while (line := self._line(patience)) is not None:
            if line.startswith(_TOKEN_IS):
                return line.removeprefix(_TOKEN_IS).strip()
            if line.startswith(_FOUND):
                patience = ANSWER_WITHIN
            elif line.startswith(_STATE_IS):
                patience = _FOUND_WITHIN
                self._waits_for(line.removeprefix(_STATE_IS).strip())
            elif line.strip():
                self._said.append(line.strip())
        raise self._error()

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()

    def _waits_for(self, state: str) -> None:
        if state not in (self._state, _FAILED):
            print(f"The head of {self.file} is being set up ({state}); waiting …", flush=True)
        self._state = state

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(line)
        self.process.wait()
        self._lines.put(None)

    def _line(self, patience: float) -> str | None:
        """The next line; None at the end, or where none comes in so many seconds."""
        try:
            return self._lines.get(timeout=patience)
        except Empty:
            return None

    def _error(self) -> UserError:
        file, code = self.file, self.process.poll()
        if code == _NOT_UP:
            return NotUpError(f"The cluster of {file} is not up; start it with: ray up {file}")
        if code == _NOT_SET_UP:
            return UserError(
                f"The head of {file} is not set up (its state is {self._state}); once no `ray up` "
                f"is at it, type `ray up {file}` again, or give --local."
            )
        reason = f" ({self._said[-1]})" if self._said and code is not None else ""
        return UserError(
            f"The head of {file} does not answer{reason}; look at it with "
            f"`ray attach {file}`, or give --local."
        )


# -- the tunnel's process --------------------------------------------------------------------------


def _hold(file: str, port: int) -> None:
    """Print the head's token, and forward `port` until this process is ended."""
    from ray.autoscaler.sdk import run_on_cluster

    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.killpg(0, signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    command = f'echo "{_TOKEN_IS}$(cat {TOKEN_FILE} 2> /dev/null)"; while true; do sleep 60; done'
    forwarded = [(port, _DASHBOARD)]
    with socket.socket() as probe:
        # Another tunnel, or an MLflow of this machine, may have the port already.
        if probe.connect_ex(("127.0.0.1", MLFLOW)):
            forwarded.append((MLFLOW, MLFLOW))
    while True:
        _until_set_up(file)
        print(_FOUND, flush=True)
        try:
            run_on_cluster(file, cmd=command, port_forward=forwarded)
            return
        except RuntimeError:
            # A `ray up` may have begun since.
            if _state(file) == _UP_TO_DATE:
                raise


_UP_TO_DATE, _FAILED = "up-to-date", "update-failed"
"""The last states of a machine that a `ray up` sets up."""


def _until_set_up(file: str) -> None:
    """Wait while a `ray up` is at the head; end this process where there is none, or it fails."""
    before, since = "", time.monotonic()
    while (state := _state(file)) != _UP_TO_DATE:
        if state is None:
            sys.exit(_NOT_UP)
        if state != before:
            before, since = state, time.monotonic()
        print(f"{_STATE_IS}{state}", flush=True)
        if state == _FAILED or time.monotonic() - since > _SET_UP_WITHIN:
            sys.exit(_NOT_SET_UP)
        time.sleep(_ASKED_EVERY)


def _state(file: str) -> str | None:
    """How far the head is set up, in the autoscaler's words; None where there is none."""
    from ray.autoscaler._private.providers import _clear_provider_cache, _get_node_provider
    from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND, TAG_RAY_NODE_STATUS

    # A provider keeps the tags that it once read.
    _clear_provider_cache()  # type: ignore[no-untyped-call]
    try:
        config = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        provider = _get_node_provider(config["provider"], config["cluster_name"])
        heads = provider.non_terminated_nodes({TAG_RAY_NODE_KIND: NODE_KIND_HEAD})
        states = [str(provider.node_tags(head).get(TAG_RAY_NODE_STATUS)) for head in heads]
    except (OSError, RuntimeError, ValueError, KeyError):
        return None
    return _UP_TO_DATE if _UP_TO_DATE in states else next(iter(states), None)


if __name__ == "__main__":
    _hold(sys.argv[1], int(sys.argv[2]))
