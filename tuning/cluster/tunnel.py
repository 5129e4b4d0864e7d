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

from kd.errors import UserError

ANSWER_WITHIN = 8.0
"""Seconds that a head may take to let us in, and half as many to answer a question."""
_FOUND_WITHIN = 60.0
"""Seconds that importing Ray and asking the cloud for the head's address may take."""
TOKEN_FILE = "~/.ray/auth_token"
_DASHBOARD = 8265
MLFLOW = 5000
"""The port of MLflow on the head's loopback interface, and through the tunnel on this one's."""
_FOUND = "kd-head"
_TOKEN_IS = "kd-token:"
_NOT_UP = 3


class NotUpError(UserError):
    """The cluster of a file has no running head."""


@contextmanager
def tunnel(file: Path) -> Iterator[tuple[int, str]]:
    """A port of this machine that leads to the head's job API, and the token for it.

    While it is open MLflow's pages are here under the address that they have on the head.
    A process of its own, in its own session: the terminal's Ctrl-C must not cut it first.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "tuning.cluster.tunnel", str(file), str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    tokens: list[str] = []
    said: list[str] = []
    found, arrived = threading.Event(), threading.Event()

    def listen() -> None:
        for line in process.stdout or ():
            if line.startswith(_TOKEN_IS):
                tokens.append(line.removeprefix(_TOKEN_IS).strip())
                arrived.set()
            elif line.startswith(_FOUND):
                found.set()
            elif line.strip():
                said.append(line.strip())
        process.wait()
        found.set()
        arrived.set()

    threading.Thread(target=listen, daemon=True).start()
    try:
        if found.wait(_FOUND_WITHIN):
            arrived.wait(ANSWER_WITHIN)
        if not tokens:
            if process.poll() == _NOT_UP:
                raise NotUpError(f"The cluster of {file} is not up; start it with: ray up {file}")
            reason = f" ({said[-1]})" if said and process.poll() is not None else ""
            raise UserError(
                f"The head of {file} does not answer{reason}; look at it with "
                f"`ray attach {file}`, or give --local."
            )
        yield port, tokens[0]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _hold(file: str, port: int) -> None:
    """The tunnel's process: print the head's token, and forward `port` until it is ended."""
    from ray.autoscaler.sdk import get_head_node_ip, run_on_cluster

    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.killpg(0, signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    try:
        get_head_node_ip(file)
    except (RuntimeError, ValueError, FileNotFoundError):
        sys.exit(_NOT_UP)
    print(_FOUND, flush=True)
    token = f"cat {TOKEN_FILE} 2> /dev/null"
    wait = "while true; do sleep 60; done"
    forwarded = [(port, _DASHBOARD)]
    with socket.socket() as probe:
        # Another tunnel, or an MLflow of this machine, may have the port already.
        if probe.connect_ex(("127.0.0.1", MLFLOW)):
            forwarded.append((MLFLOW, MLFLOW))
    run_on_cluster(file, cmd=f'echo "{_TOKEN_IS}$({token})"; {wait}', port_forward=forwarded)


if __name__ == "__main__":
    _hold(sys.argv[1], int(sys.argv[2]))
