"""Every promoted version in a store's registry, read by the shortest way.

Importing MLflow and opening a store takes seconds, so the database of an embedded store is read
by itself, where it has the tables that are known here.
"""

import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from kd.errors import UserError
from tuning.tracking.promoted import Best
from tuning.tracking.store import Store, first_line, quoted

if TYPE_CHECKING:
    from mlflow import MlflowClient

# name, version, created (seconds since the epoch), tags.
_Row = tuple[str, int, float, dict[str, str]]

# What MLflow's search for versions answers, which leaves out deleted ones and other workspaces.
_QUERY = """
    SELECT name, version, creation_time, key, value
    FROM model_versions JOIN model_version_tags USING (workspace, name, version)
    WHERE workspace = 'default' AND current_stage != 'Deleted_Internal'
    ORDER BY last_updated_time DESC, name, version DESC
"""


def read_all(store: Store, method: str | None = None) -> list[Best]:
    """Every promoted version in `store`, or those of one method; none if there is no store yet.

    Raises:
        UserError: the store does not answer, or cannot be used.
    """
    if store.file is not None:
        if not store.file.exists():
            return []
        if (rows := _tables(store.file)) is not None:
            return _bests(_of(method, rows))
    client = store.connect()
    with store.answering():
        return _bests(_of(method, _rows(client)))


def read_cell(client: "MlflowClient", cell: str) -> list[Best]:
    """The promoted versions of one cell, always by MLflow itself."""
    return _bests(_rows(client, f"name = {quoted(cell)}"))


def sweeps_of(database: Path) -> list[str] | None:
    """The sweeps that an embedded store has runs of; None where it has not the known tables."""
    query = "SELECT DISTINCT value FROM tags WHERE key = 'kd.sweep_id'"
    try:
        with closing(read_only(database)) as opened:
            return [name for (name,) in opened.execute(query)]
    except sqlite3.Error:
        return None


def read_only(database: Path) -> sqlite3.Connection:
    """Only to be read: nothing may be made beside a store, or of a file that is none."""
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)


# -- the registry -----------------------------------------------------------------------------


def _of(method: str | None, rows: list[_Row]) -> list[_Row]:
    return [row for row in rows if method is None or row[0].startswith(f"{method}.")]


def _bests(rows: Iterable[_Row]) -> list[Best]:
    """The versions, without damaged ones and those of methods that are not installed here."""
    bests = []
    for row in rows:
        try:
            bests.append(Best.from_tags(*row))
        except (UserError, KeyError, ValueError) as error:
            print(f"{row[0]} v{row[1]} is passed over: {first_line(error)}.", file=sys.stderr)
    return bests


def _rows(client: "MlflowClient", chosen: str = "") -> list[_Row]:
    rows: list[_Row] = []
    token = None
    while True:
        page = client.search_model_versions(chosen, page_token=token)
        rows += [
            (v.name, int(v.version), v.creation_timestamp / 1000, dict(v.tags))
            for v in page
            if "kd.config" in v.tags
        ]
        if not (token := page.token):
            return rows


def _tables(database: Path) -> list[_Row] | None:
    """What `_rows` answers, from the database alone; None where it has not the known tables."""
    found: dict[tuple[str, int, int], dict[str, str]] = {}
    try:
        with closing(read_only(database)) as opened:
            for name, version, created, key, value in opened.execute(_QUERY):
                found.setdefault((name, version, created), {})[key] = value
    except sqlite3.Error:
        return None
    return [
        (name, version, created / 1000, tags)
        for (name, version, created), tags in found.items()
        if "kd.config" in tags
    ]
