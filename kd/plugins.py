"""What installed packages add, by Python's entry points: methods, backbones, data sets, formats.

A name that the project has itself is not replaced.
"""

import re
from collections.abc import Callable, Mapping
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
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""What can be typed, and be part of a folder's name; `:` has meanings of its own."""


@cache
def added(group: str) -> Mapping[str, EntryPoint]:
    """What is added to `group`, by name; imports none of it.

    A name of other characters than letters, digits and `_.+-` is passed over.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if _NAME.fullmatch(point.name):
            found.setdefault(point.name, point)
    return found


def name_of(group: str, value: str) -> str | None:
    """The name by which an object, `module:attribute`, is added to `group`; None if it is not."""
    return next((name for name, point in added(group).items() if point.value == value), None)


def load(group: str, name: str) -> Any:
    """The object that is added to `group` as `name`; UserError where it cannot be imported.

    And where it cannot be called, as all that is added can.
    """
    point = added(group)[name]
    try:
        found = point.load()
    # A script may end itself as it is imported.
    except (Exception, SystemExit) as error:
        raise _broken(point, error) from error
    if not callable(found):
        raise wrong(group, name, f"is {brief(repr(found))}, which cannot be called")
    return found


def made(group: str, name: str, *given: Any) -> Any:
    """What the object that is added to `group` as `name` makes of `given`.

    UserError as of `load`, or where that fails.
    """
    return said(group, name, load(group, name), *given)


def said(group: str, name: str, function: Callable[..., Any], *given: Any) -> Any:
    """What a function of what is added to `group` as `name` says; UserError where it fails."""
    try:
        return function(*given)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        reason = brief(f"{type(error).__name__}: {error}", 200)
        raise wrong(group, name, f"fails ({reason})") from error


def load_module(group: str, name: str, module: str) -> Any:
    """A module of the package that is added to `group` as `name`; UserError as of `load`."""
    point = added(group)[name]
    try:
        return import_module(f"{point.value}.{module}")
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise _broken(point, error) from error


def packages(names: Mapping[str, str]) -> dict[str, str]:
    """Of what is added under these names, by group, the modules that hold it, by package."""
    points = (added(group).get(name) for group, name in names.items())
    return {_package(p): p.module.partition(".")[0] for p in points if p is not None}


def wrong(group: str, name: str, why: str) -> UserError:
    """The error for what is added to `group` as `name`, and is not what its group asks for."""
    point = added(group)[name]
    return UserError(
        f"{brief(name)}, which the package {_package(point)} adds, {why}; mend it there, or "
        "uninstall it."
    )


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


def _broken(point: EntryPoint, error: BaseException) -> UserError:
    reason = brief(f"{type(error).__name__}: {error}", 200)
    return UserError(
        f"{brief(point.name)}, which the package {_package(point)} adds, cannot be imported "
        f"({reason}); mend it there, or uninstall it."
    )
