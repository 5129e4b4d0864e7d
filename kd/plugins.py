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
    make = load(group, name)
    try:
        return make(*given)
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
