"""A network of one's own: the function in a file that makes it, and what tells the file."""

import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from kd.backbones.names import BackboneName, written
from kd.errors import UserError, brief, unknown

OWN = "module"
"""The kind of their names."""


def function_of(name: BackboneName) -> Callable[..., Any]:
    """The function that a `module:` names, imported; UserError where it is not there.

    A module is looked for in the current folder, too.
    """
    module, _, function = name.network.partition(":")
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
    except Exception as error:
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
    top = name.network.partition(":")[0].partition(".")[0]
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


def digests(backbones: Iterable[str]) -> dict[str, str]:
    """What tells the code of each from any other: by module, a digest of its file or package."""
    found = {}
    for module, path in sources(backbones).items():
        code = hashlib.blake2b(digest_size=8)
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            code.update(file.name.encode() + file.read_bytes())
        found[module] = code.hexdigest()
    return found


def first_line(error: Exception | None) -> str:
    """What an exception says, as far as it is a line."""
    return (str(error).splitlines() or [""])[0]


def _look_here() -> None:
    """Let modules be found in the current folder, after all others."""
    if "" not in sys.path and (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
