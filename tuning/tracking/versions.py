"""Every promoted version in a store's registry, and the copy of them beside an embedded store.

Importing MLflow and opening a store takes seconds, so what was read from an embedded store is
kept for as long as its file does not change.
"""

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kd.errors import UserError
from kd.files import replace_file
from tuning.tracking.promoted import Best
from tuning.tracking.store import Store, first_line, quoted

if TYPE_CHECKING:
    from mlflow import MlflowClient

# name, version, created, tags: what is read from the registry, and kept between commands.
_Row = tuple[str, int, float, dict[str, str]]
_Stamp = list[list[int]]


def read_all(store: Store) -> list[Best]:
    """Every promoted version in `store`, in no particular order; none if there is no store yet.

    Raises:
        UserError: the store does not answer, or cannot be used.
    """
    if store.file is None:
        return _bests(refresh(store, store.connect()))
    if not store.file.exists():
        return []
    kept = _kept(store.file)
    return _bests(refresh(store, store.connect()) if kept is None else kept)


def read_cell(client: "MlflowClient", cell: str) -> list[Best]:
    """The promoted versions of one cell, always from the registry itself."""
    return _bests(_rows(client, f"name = {quoted(cell)}"))


def refresh(store: Store, client: "MlflowClient") -> list[_Row]:
    """Read the whole registry, and renew the copy beside an embedded store."""
    stamp = _stamp(store.file) if store.file is not None else []
    with store.answering():
        rows = _rows(client)
    if store.file is not None:
        _keep(store.file, stamp, rows)
    return rows


# -- the registry -----------------------------------------------------------------------------


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


# -- the copy beside an embedded store ---------------------------------------------------------


def _stamp(database: Path) -> _Stamp:
    """What changes whenever the database does; a write-ahead log is a second file."""
    files = (database, Path(f"{database}-wal"))
    return [[f.stat().st_mtime_ns, f.stat().st_size] for f in files if f.exists()]


def _kept(database: Path) -> list[_Row] | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_keeping(database).read_text(encoding="utf-8"))
        if kept["stamp"] == _stamp(database):
            rows: list[_Row] = kept["rows"]
            return rows
    return None


def _keep(database: Path, stamp: _Stamp, rows: list[_Row]) -> None:
    text = json.dumps({"stamp": stamp, "rows": rows})
    # In a folder that cannot be written, the next command reads the registry again.
    with suppress(UserError):
        replace_file(_keeping(database), text.encode())


def _keeping(database: Path) -> Path:
    return database.with_suffix(".best.json")
