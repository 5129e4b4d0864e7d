"""`python -m tuning.ui [SWEEP]`: a sweep's trials in MLflow's pages."""

import signal
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from kd.cli import run, shown
from kd.errors import UserError, unknown
from tuning.records.settings import FILE, SweepSettings
from tuning.tracking.server import HOST, choose_port, serving
from tuning.tracking.store import Store
from tuning.tracking.versions import sweeps_of
from tuning.tracking.view import sweep_page


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
    known = sweeps_of(store.file) if flags.sweep and store.file else None
    if flags.sweep and known and flags.sweep not in known:
        # MLflow takes seconds to say so.
        raise unknown("sweep", flags.sweep, known)
    port = None if store.served else choose_port(flags.port)
    client = store.connect()
    path = sweep_page(store, client, flags.sweep) if flags.sweep else "/#/experiments"
    if port is None:
        _tell(store.page + path, flags.open)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"Starting MLflow's server on {HOST}:{port} …", file=sys.stderr, flush=True)
    with serving(store, port) as (address, server):
        _tell(address + path, flags.open)
        print("Ctrl-C ends it.", file=sys.stderr, flush=True)
        try:
            server.wait()
        except KeyboardInterrupt:
            return
    raise UserError("MLflow's server has ended by itself; start it again.")


def _told(flags: Flags) -> str | None:
    """The store that the sweep's own settings name."""
    if flags.sweep is None or not (flags.storage / flags.sweep / FILE).exists():
        return None
    return SweepSettings.load(flags.storage, flags.sweep).tracking_uri


def _tell(link: str, in_browser: bool) -> None:
    print(link, flush=True)
    if in_browser and not webbrowser.open(link):
        print("No browser was found here; open the link in yours.", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, show, argv)


if __name__ == "__main__":
    main()
