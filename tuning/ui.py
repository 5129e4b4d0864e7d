"""`python -m tuning.ui [SWEEP]`: a sweep's trials in MLflow's pages."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from kd.cli import run, shown
from kd.errors import UserError, unknown
from tuning.records.settings import FILE, SweepSettings
from tuning.tracking.store import Store, quoted
from tuning.tracking.view import page_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOST = "127.0.0.1"
PORT = 5000
STARTS_WITHIN = 120.0
"""Seconds that MLflow's server may take to start on a busy machine."""


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""This machine is reached without the proxy that the environment may name."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Open MLflow's pages, at the trials of a sweep.

    For a store that has no server one is started, on this machine's loopback interface only,
    until Ctrl-C.
    """

    sweep: Annotated[str | None, tyro.conf.Positional, shown("SWEEP")] = None
    """The sweep's name; without it, the list of all experiments."""
    storage: Path = Path("runs")
    """Where sweeps are kept."""
    tracking_uri: Annotated[str | None, shown("URI")] = None
    """Another MLflow store than the one in the storage folder, or that the sweep was told."""
    port: Annotated[int | None, shown("PORT")] = None
    """The server's port; the default is 5000, or another where that is in use."""
    open: bool = False
    """Open the page in this machine's browser."""


def show(flags: Flags) -> None:
    """Print the link, and serve the store until Ctrl-C where it has no server."""
    store = Store.at(flags.storage, flags.tracking_uri or _told(flags))
    if store.file is not None and not store.file.exists():
        raise UserError(
            f"There is no MLflow store {store.name}; run python -m tuning.search METHOD, or give "
            "another --storage."
        )
    client = store.connect()
    path = sweep_page(store, client, flags.sweep) if flags.sweep else "/#/experiments"
    if store.served:
        _tell(store.page + path, flags.open)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    port = _port(flags.port)
    print(f"Starting MLflow's server on {HOST}:{port} …", file=sys.stderr, flush=True)
    with serving(store, port) as (address, server):
        _tell(address + path, flags.open)
        print("Ctrl-C ends it.", file=sys.stderr, flush=True)
        try:
            server.wait()
        except KeyboardInterrupt:
            return
    raise UserError("MLflow's server has ended by itself; start it again.")


def sweep_page(store: Store, client: "MlflowClient", sweep: str) -> str:
    """The path of the sweep's view; UserError with the nearest name if MLflow has no such sweep."""
    with store.answering():
        found = _sweeps(client, f"= {quoted(sweep)}")
        if found:
            return page_path(found[0].info.experiment_id, found[0].info.run_id)
        known = [run.data.tags["kd.sweep_id"] for run in _sweeps(client, "LIKE '%'")]
    if not known:
        raise UserError(f"There is no sweep in {store.name}; run one, or give --storage.")
    raise unknown("sweep", sweep, known)


def _sweeps(client: "MlflowClient", chosen: str) -> list[Any]:
    experiments = [e.experiment_id for e in client.search_experiments()]
    return list(client.search_runs(experiments, f"tags.`kd.sweep_id` {chosen}"))


@contextmanager
def serving(store: Store, port: int) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """MLflow's server over `store`: its address and process; it ends with the context."""
    address = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    environment = os.environ | {
        # Not an argument, which every user of the machine could read: it may hold a password.
        "MLFLOW_BACKEND_STORE_URI": store.uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    # Of its own session, so that Ctrl-C reaches this process alone, which then ends all of it.
    server = subprocess.Popen(
        [*command, "--workers", "1"],
        env=environment,
        stdin=subprocess.DEVNULL,
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


def _told(flags: Flags) -> str | None:
    """The store that the sweep's own settings name."""
    if flags.sweep is None or not (flags.storage / flags.sweep / FILE).exists():
        return None
    return SweepSettings.load(flags.storage, flags.sweep).tracking_uri


def _port(wanted: int | None) -> int:
    """`wanted`, or the usual port, or where that is in use any free one."""
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


def _tell(link: str, in_browser: bool) -> None:
    print(link, flush=True)
    if in_browser and not webbrowser.open(link):
        print("No browser was found here; open the link in yours.", file=sys.stderr)


if __name__ == "__main__":
    run(Flags, show)
