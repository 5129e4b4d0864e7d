"""What installed packages add, by Python's entry points: methods, backbones, data sets, formats.

A name that the project has itself is not replaced.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from kd.errors import UserError, brief

METHODS, BACKBONES, DATA, FORMATS = (
    f"kd_search.{kind}" for kind in ("methods", "backbones", "data", "formats")
)
"""The groups. A method's value is a package of `config`, `loss` and `space`; any other's an
object."""


@cache
def added(group: str) -> Mapping[str, EntryPoint]:
    """What is added to `group`, by name; imports none of it."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, point)
    return found


def load(group: str, name: str) -> Any:
    """The object that is added to `group` as `name`; UserError where it cannot be imported."""
    point = added(group)[name]
    try:
        return point.load()
    except Exception as error:
        raise _broken(point, error) from error


def load_module(group: str, name: str, module: str) -> Any:
    """A module of the package that is added to `group` as `name`; UserError as of `load`."""
    point = added(group)[name]
    try:
        return import_module(f"{point.value}.{module}")
    except UserError:
        raise
    except Exception as error:
        raise _broken(point, error) from error


def _broken(point: EntryPoint, error: Exception) -> UserError:
    package = point.dist.name if point.dist else point.value
    reason = brief(f"{type(error).__name__}: {error}", 200)
    return UserError(
        f"{brief(point.name)}, which the package {package} adds, cannot be imported ({reason}); "
        "mend it there, or uninstall it."
    )
