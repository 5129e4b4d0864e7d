"""MLflow's own server over a store: on this machine's loopback interface, while it is wanted."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from kd.errors import UserError
from tuning.storage.lifeline import lifeline
from tuning.tracking.store import Store

HOST = "127.0.0.1"
PORT = 5000
STARTS_WITHIN = 120.0
"""Seconds that MLflow's server may take to start on a busy machine."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""This machine is reached without the proxy that the environment may name."""


def choose_port(wanted: int | None = None) -> int:
    """`wanted`, or the usual port, or where that is in use any free one.

    Raises:
        UserError: `wanted` is in use, or no port.
    """
    for port in (PORT, 0) if wanted is None else (wanted,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except (OSError, OverflowError):
                continue
            found: int = probe.getsockname()[1]
            return found
    raise UserError(f"Port {wanted} cannot be used; leave --port away to have a free one chosen.")


@contextmanager
def serving(store: Store, port: int) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """MLflow's server over `store`: its address and process; it ends with the context.

    Or with this process, when that is killed or its terminal is closed.
    """
    address = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    environment = os.environ | {
        # Not an argument, which every user of the machine could read: it may hold a password.
        "MLFLOW_BACKEND_STORE_URI": store.uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with lifeline() as folder:
        # Of its own session, so that Ctrl-C reaches this process alone, which then ends all of it.
        with (folder / "alive").open("w+b") as alive:
            server = subprocess.Popen(
                [*command, "--workers", "1"],
                env=environment,
                stdin=alive,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            _wait(address, server)
            yield address, server
        finally:
            _end(server)


def _wait(address: str, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + STARTS_WITHIN
    while server.poll() is None and time.monotonic() < until:
        try:
            with _DIRECT.open(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise UserError(
        f"MLflow's server did not start on {address}; see why with: mlflow server --port "
        f"{address.rpartition(':')[2]}, or give another --port."
    )


def _end(server: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if server.poll() is not None:
            return
        os.killpg(server.pid, number)
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
