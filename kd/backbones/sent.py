"""The code of networks of one's own, sent to where their file is not: read, and imported again.

It is imported from memory, so that nothing is left on the other machine.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

from kd.backbones.own import files_of, sources


def code_of(backbones: Iterable[str]) -> dict[str, bytes]:
    """The Python files of those that are one's own, by their paths from where these lie."""
    files: dict[str, bytes] = {}
    for source in sources(backbones).values():
        for file in files_of(source):
            files[file.relative_to(source.parent).as_posix()] = file.read_bytes()
    return files


def unpack(files: Mapping[str, bytes]) -> None:
    """Let this process import them, before any others of their names: they are what was seen."""
    known = [finder.files for finder in sys.meta_path if isinstance(finder, Sent)]
    if files and files not in known:
        sys.meta_path.insert(0, Sent(files))


class Sent(SourceLoader):
    """Finds and imports modules in `files`; one of sys.meta_path."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """As of a meta path finder; a folder without an __init__.py is a package, too."""
        base = fullname.replace(".", "/")
        if self._file(base) is not None:
            is_package = f"{base}/__init__.py" in self.files
            return spec_from_loader(fullname, self, is_package=is_package)
        if any(name.startswith(f"{base}/") for name in self.files):
            return ModuleSpec(fullname, None, is_package=True)
        return None

    def get_filename(self, fullname: str) -> str:
        """As of SourceLoader."""
        file = self._file(fullname.replace(".", "/"))
        if file is None:
            raise ImportError(fullname)
        return file

    def get_data(self, path: str | os.PathLike[str]) -> bytes:
        """As of SourceLoader."""
        if (content := self.files.get(str(path))) is None:
            raise OSError(path)
        return content

    def _file(self, base: str) -> str | None:
        files = (f"{base}/__init__.py", f"{base}.py")
        return next((file for file in files if file in self.files), None)
