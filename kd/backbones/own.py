"""A network of one's own: the function in a file that makes it, and what tells the file."""

import ast
import hashlib
import importlib
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from kd import plugins
from kd.backbones.names import BackboneName, written
from kd.errors import UserError, brief, unknown

OWN = "module"
"""The kind of their names."""
PACKAGES = ("kd", "search_spaces", "tuning")
"""Of this project, which is wherever networks are made."""


def function_of(name: BackboneName) -> Callable[..., Any]:
    """The function that a `module:` names, imported; UserError where it is not there.

    A module is looked for in the current folder, too.
    """
    module, _, function = name.network.partition(":")
    if (added := plugins.name_of(plugins.BACKBONES, name.network)) is not None:
        return cast(Callable[..., Any], plugins.load(plugins.BACKBONES, added))
    _look_here()
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise UserError(
                f"There is no {module.replace('.', '/')}.py in the current folder; type the "
                f"command where it lies, or write {written(OWN)}."
            ) from None
        raise UserError(
            f"{module} needs the package {error.name}, which is not installed."
        ) from None
    # A script may end itself as it is imported, for example by argparse.
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{module} cannot be imported ({type(error).__name__}: "
            f"{brief(first_line(error))}); mend it first."
        ) from error
    found = getattr(imported, function, None)
    if not callable(found):
        public = [n for n, value in vars(imported).items() if callable(value) and n[0] != "_"]
        raise unknown(f"function in {module}", function, public)
    return cast(Callable[..., Any], found)


def source_of(name: BackboneName) -> Path | None:
    """The file that a `module:` lies in, or the folder of its whole package; None if there is none.

    Nothing of it is imported.
    """
    _look_here()
    return _place_of(name.network.partition(":")[0].partition(".")[0])


def _place_of(top: str) -> Path | None:
    """The file or the folder of a module that lies in no package; None if there is none."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin and os.path.isfile(spec.origin) else None


def sources(backbones: Iterable[str]) -> dict[str, Path]:
    """Of those that are one's own, the files or folders that they lie in, by their modules."""
    names = (BackboneName.parse(backbone) for backbone in backbones)
    own = {name.network.partition(":")[0]: source_of(name) for name in names if name.kind == OWN}
    return {module: path for module, path in own.items() if path is not None}


def files_of(source: Path) -> list[Path]:
    """The Python files of a module's file or package, and of those beside it that they import."""
    found, files = [source], _python(source)
    libraries = {Path(path) for path in sysconfig.get_paths().values()}
    if source.parent in libraries:
        return files
    # The list grows as it is gone through.
    for file in files:
        for top in sorted(_imported(file)):
            place = None if top in PACKAGES else _place_of(top)
            if place is not None and place.parent == source.parent and place not in found:
                found.append(place)
                files += _python(place)
    return files


def _python(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


def _imported(file: Path) -> set[str]:
    """The modules that a file's lines import, without what lies in them; it is not run."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):
        return set()
    named = [each.name for node in nodes if isinstance(node, ast.Import) for each in node.names]
    named += [
        node.module
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    ]
    return {name.partition(".")[0] for name in named}


def digests(backbones: Iterable[str]) -> dict[str, str]:
    """What tells the code of each from any other: by module, a digest of its `files_of`."""
    return {module: _digest(path) for module, path in sources(backbones).items()}


def digest_of(package: str) -> str:
    """The same of a package that is installed; empty where it is not found."""
    place = _place_of(package)
    return "" if place is None else _digest(place)


def _digest(source: Path) -> str:
    code = hashlib.blake2b(digest_size=8)
    for file in files_of(source):
        code.update(file.name.encode() + file.read_bytes())
    return code.hexdigest()


def first_line(error: BaseException | None) -> str:
    """What an exception says, as far as it is a line."""
    return (str(error).splitlines() or [""])[0]


def _look_here() -> None:
    """Let modules be found in the current folder, after all others."""
    if "" not in sys.path and (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
