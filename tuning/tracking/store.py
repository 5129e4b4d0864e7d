"""Where sweeps are tracked: an MLflow store, embedded or served, and how to reach it."""

import fcntl
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, TypeVar

from kd.errors import UserError
from kd.files import FULL
from tuning.storage.addresses import check_store, masked, public, scrubbed

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

ANSWER_WITHIN = 10.0
"""Seconds that a server may take to answer the first question."""
MADE_WITHIN = 120.0
"""Seconds that an embedded store may take, which on a busy machine is first made in many steps."""

# MLflow retries a dead server for minutes, prints links, and reports its use to its makers.
_MANNERS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PGCONNECT_TIMEOUT": "10",
}


@dataclass(frozen=True)
class Store:
    """An MLflow address (sqlite:///…, http://…, postgresql://…).

    `artifacts` is the folder of files for a store that has no server to keep them; None
    leaves them to the server.
    """

    uri: str = field(repr=False)
    artifacts: str | None = None

    @classmethod
    def at(cls, storage: str | Path = "runs", tracking_uri: str | None = None) -> "Store":
        """The store of the sweeps under `storage`: embedded SQLite, unless an address is given."""
        folder = Path(storage).absolute()
        if tracking_uri is not None:
            check_store(tracking_uri)
        uri = tracking_uri or f"sqlite:///{folder / 'mlflow.db'}"
        store = cls(uri)
        return store if store.served else cls(uri, str(folder / "mlflow-artifacts"))

    @property
    def served(self) -> bool:
        """Whether a server answers at the address; else this process opens the database."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def name(self) -> str:
        """The address without a password, to be shown."""
        return masked(self.uri)

    @property
    def page(self) -> str:
        """The address of a served store's pages, without whoever may log in."""
        return public(self.uri).rstrip("/")

    @property
    def file(self) -> Path | None:
        """The database file of an embedded store."""
        prefix = "sqlite:///"
        if not self.uri.startswith(prefix):
            return None
        return Path(self.uri.removeprefix(prefix).partition("?")[0])

    def connect(self) -> "MlflowClient":
        """A client of the store, which is made if it is embedded and does not exist yet.

        Importing MLflow takes seconds; a server that does not answer costs at most
        `ANSWER_WITHIN` seconds more.

        Raises:
            UserError: the store does not answer, or cannot be used.
        """
        for name, value in _MANNERS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for logger in ("mlflow", "alembic"):
            # It logs, with tracebacks, what it raises; who asked tells it in a sentence.
            logging.getLogger(logger).setLevel(logging.CRITICAL)

        def ask() -> "MlflowClient":
            if self.file is None and not self.served:
                _reach(self.uri)
            client = MlflowClient(self.uri, registry_uri=self.uri)
            client.search_experiments(max_results=1)
            return client

        try:
            if self.file is None:
                return within(ANSWER_WITHIN, ask)
            with _alone(self.file):
                if not _size(self.file):
                    self._make(self.file)
                _check_database(self.file)
                return within(MADE_WITHIN, ask)
        except Exception as error:  # MLflow's, or a database driver's own
            raise self._refusal(error) from None

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Turn what MLflow raises within into a `UserError`."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            raise self._refusal(error) from None

    def told(self, error: Exception) -> str:
        """What an exception of the store says in its first line, without a password."""
        return scrubbed(first_line(error), self.uri)

    def _make(self, path: Path) -> None:
        """Make the database at `path`, which is there when it is whole.

        MLflow makes it in many steps, and cannot go on with one that was killed between them.
        """
        half = path.with_name(f".{path.name}")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir()
        # MLflow keeps what it opened: another try in this process needs another name.
        made = Path(mkdtemp(dir=half)) / path.name

        def make() -> None:
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            store: Any = SqlAlchemyStore
            store(f"sqlite:///{made}", self.artifacts).engine.dispose()

        within(MADE_WITHIN, make)
        made.replace(path)
        shutil.rmtree(half, ignore_errors=True)

    def _refusal(self, error: Exception) -> UserError:
        text = self.told(error)
        if isinstance(error, TimeoutError):
            reason = "does not answer in time"
        elif isinstance(error, ModuleNotFoundError) and error.name == "psycopg":
            reason = "needs psycopg 3 (pip install 'kd-search[postgres]')"
        elif "database schema" in text:
            reason = "was written by another version of MLflow, which this one cannot read"
        elif text.startswith("API request to"):
            reason = "does not answer"
        else:
            reason = f"cannot be used ({text})"
        return UserError(
            f"The MLflow store {self.name} {reason}; mend or start it, or give another "
            "--tracking-uri or --storage."
        )


_LASTING = (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
"""What is wrong with a folder, and will be the next time."""


def is_transient(error: Exception) -> bool:
    """Whether the same call may succeed later: the server is down or busy, the file locked."""
    status = getattr(error, "get_http_status_code", None)
    if status is None:
        return isinstance(error, OSError) and not isinstance(error, _LASTING)
    code: int = status()
    return code >= 500 or code in (408, 429)


def is_full(error: Exception) -> bool:
    """Whether the disk of an embedded store is full, as SQLite or the system says it."""
    return "disk is full" in str(error) or getattr(error, "errno", None) in FULL


def quoted(text: str) -> str:
    """`text` as a string of MLflow's search language, which has no escapes."""
    return f'"{text}"' if "'" in text else f"'{text}'"


def first_line(error: Exception) -> str:
    """What an exception says, without the pages that database drivers add."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from making or opening the database at `path`, which may not exist yet.

    Raises at once for a file that MLflow would try again for minutes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        _check_database(path)
    with ExitStack() as stack:
        # A folder that may only be read, or a file system without locks: nothing is made there.
        with suppress(OSError):
            lock = stack.enter_context(path.with_suffix(".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA schema_version")


def _reach(uri: str) -> None:
    """Raise at once what is wrong with a database server: MLflow tries again for minutes."""
    from sqlalchemy import create_engine

    engine = create_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises; TimeoutError if that takes longer than `seconds`."""
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)

    # A daemon, because a database driver that waits for a dead host cannot be interrupted.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]
