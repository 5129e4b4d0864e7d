"""Where trials keep their files: a folder that all machines share, or an object store."""

import atexit
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kd.errors import UserError
from kd.files import remove
from tuning.storage.addresses import masked
from tuning.storage.patience import patiently

OBJECT_STORES = ("s3://", "gs://")


@dataclass(frozen=True)
class Shelf:
    """Files by name. Each is the old one or the whole new one, whatever ends its writer.

    Storage that answers with errors is waited for, for about a minute, before an OSError.

    Args:
        uri: a folder, or what `pyarrow.fs` reads as an object store: `s3://BUCKET/FOLDER`, with
            `?endpoint_override=HOST:PORT` for one that is not Amazon's.
        part: the folder below it that is this shelf's.
    """

    uri: str
    part: str = ""

    @property
    def _folder(self) -> Path | None:
        return None if self.uri.startswith(OBJECT_STORES) else Path(self.uri) / self.part

    def put(self, name: str, write: Callable[[Path], None]) -> None:
        """Keep what `write` writes to the path it is given, which must do so in one step."""
        if self._folder is not None:
            path = self._folder / name
            patiently(lambda: write(path))
            return
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / Path(name).name
            write(path)
            patiently(lambda: self._copy(str(path), _here(), self._key(name), self._store))

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """A path to read the file at, for as long as the `with` lasts; OSError if there is none."""
        if self._folder is not None:
            yield self._folder / name
            return
        if not self.exists(name):
            raise FileNotFoundError(f"there is no {name} in {self.uri}")
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / Path(name).name
            patiently(lambda: self._copy(self._key(name), self._store, str(path), _here()))
            yield path

    def exists(self, name: str) -> bool:
        """Whether the file is there."""
        if self._folder is not None:
            return patiently((self._folder / name).exists)
        info = patiently(lambda: self._store.get_file_info(self._key(name)))
        return bool(info.is_file)

    def delete(self, name: str) -> None:
        """Delete the file, if it is there, and what a killed writer of it left."""
        if self._folder is not None:
            remove(self._folder / name)
        elif self.exists(name):
            self._store.delete_file(self._key(name))

    def check(self) -> None:
        """Raise UserError unless files can be kept there."""
        if self._folder is not None:
            return
        try:
            with self._store.open_output_stream(self._key(".probe")) as probe:
                probe.write(b"")
            self.delete(".probe")
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{self.uri} cannot be written ({reason}); give another --checkpoints, or this "
                "machine the right to."
            ) from None

    # -- an object store ----------------------------------------------------------------------

    @property
    def _store(self) -> Any:
        return _object_store(self.uri)[0]

    def _key(self, name: str) -> str:
        return "/".join(filter(None, (_object_store(self.uri)[1], self.part, name)))

    @staticmethod
    def _copy(source: str, have: Any, target: str, want: Any) -> None:
        from pyarrow import fs

        fs.copy_files(source, target, source_filesystem=have, destination_filesystem=want)


def check_uri(uri: str) -> None:
    """Raise UserError for what is no object store's address, or holds a secret."""
    if not uri.startswith(OBJECT_STORES) or len(uri) <= len(OBJECT_STORES[0]):
        raise UserError(
            f"--checkpoints is {masked(uri)}; give s3://BUCKET/FOLDER or gs://BUCKET/FOLDER."
        )
    if masked(uri) != uri:
        raise UserError(
            "--checkpoints holds a key; leave it away, and give it in the environment or the "
            "machine's role."
        )


@cache
def _object_store(uri: str) -> tuple[Any, str]:
    """Pyarrow's file system of `uri`, and the key that its files begin with."""
    from pyarrow import fs

    # None of them may outlive the library's own end, which pyarrow has put there before.
    atexit.register(_object_store.cache_clear)
    store, prefix = fs.FileSystem.from_uri(uri)
    return store, prefix.rstrip("/")


def _here() -> Any:
    from pyarrow import fs

    return fs.LocalFileSystem()
