"""Real MLflow stores for tests: a fresh embedded one, and a server on the loopback."""

import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuning.tracking.store import Store

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Whatever proxy the environment or an earlier test named."""


@functools.cache
def _template() -> Path:
    """An empty database, made once: MLflow takes seconds to make one."""
    folder = Path(tempfile.mkdtemp())
    Store.at(folder).connect()
    return folder / "mlflow.db"


def empty_store(storage: Path) -> Store:
    storage.mkdir(parents=True, exist_ok=True)
    shutil.copy(_template(), storage / "mlflow.db")
    return Store.at(storage)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server(storage: Path, port: int) -> Iterator[str]:
    """An `mlflow server` over the database in `storage`, ended with the context."""
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{storage / 'mlflow.db'}", "--workers", "1"]
    command += ["--artifacts-destination", str(storage / "served")]
    environment = os.environ | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    log = (storage / "server.log").open("w")
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        late = time.monotonic() + 180
        while not _answers(address):
            log_so_far = (storage / "server.log").read_text()
            assert process.poll() is None, log_so_far
            assert time.monotonic() < late, log_so_far
            time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        log.close()


def _answers(address: str) -> bool:
    try:
        with _DIRECT.open(f"{address}/health", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
