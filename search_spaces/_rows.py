"""An ablation: rows that differ from a default in a few values, as a space of them alone."""

from collections.abc import Mapping
from typing import Any

from kd.config import TrainConfig
from kd.errors import UserError, brief
from search_spaces._domains import Choice, number_or_text
from search_spaces._load import OwnSpace, overlaps, own_space, read_fixed, within
from search_spaces._space import Space

LONGEST = 60
"""Letters of a label at most, so that a table of them fits on a screen."""


def load_rows(
    base: TrainConfig,
    rows: Mapping[str, Any],
    *,
    fixed: Mapping[str, str] | None = None,
    where: str = "the rows",
) -> Space:
    """The space of `base` and of `rows` around it: names and values of what differs, by labels.

    `fixed` gives values, as typed, to what no row names. What varies is what the rows name, each
    among the values that it has in them and in the default.

    Raises `UserError`, naming `where`, for a label, a name or a value that makes no sense, and for
    rows that are the default or alike.
    """
    own = own_space(base.method, base.backbone, optimizer=False)
    values = read_fixed(fixed or {}, own, base.backbone)
    default = Space({}, values).apply(base, {}, "--set")
    flat = default.flat()
    if not rows:
        raise UserError(
            f"{where} has no rows; give one at least: rows: {{LABEL: {{NAME: VALUE}}}}."
        )
    found: dict[str, dict[str, Any]] = {}
    for label, row in rows.items():
        which = f"{where}, row {_label(label, where)!r}"
        try:
            given = _read_row(row, own, values, flat)
            config = Space({}, given).apply(default, {}, which)
        except UserError as error:
            said = str(error)
            raise UserError(said if said.startswith(which) else f"{which}: {said}") from None
        changed = {name: value for name, value in config.flat().items() if flat[name] != value}
        if not changed:
            raise UserError(f"{which} is the default, which is trained anyway; leave it away.")
        if twin := next((other for other, its in found.items() if its == changed), None):
            raise UserError(f"{which} is the same as row {twin!r}; leave one of them away.")
        found[label] = changed
    domains: dict[str, Choice] = {}
    for name, value in (pair for row in found.values() for pair in row.items()):
        known = domains[name].values if name in domains else (flat[name],)
        domains[name] = Choice(known if value in known else (*known, value))
    return Space(domains, values, found)


def _label(label: Any, where: str) -> str:
    """`label`; UserError for what heads no row of a table."""
    if not isinstance(label, str):
        raise UserError(
            f"{where} has the label {brief(label)}; put it in quotes, as labels are texts."
        )
    if not label.strip():
        raise UserError(f"{where} has an empty label; give the row a name.")
    if len(label) > LONGEST or not label.isprintable():
        raise UserError(
            f"{where} has the label '{brief(label, LONGEST)}'; give one line of at most {LONGEST} "
            "letters."
        )
    return label


def _read_row(
    row: Any, own: OwnSpace, fixed: Mapping[str, Any], flat: Mapping[str, Any]
) -> dict[str, Any]:
    """What a row names, by dotted names; UserError for a name, a length, or what is `fixed`."""
    if not isinstance(row, dict) or not row:
        raise UserError(f"it is {brief(repr(row))}; give what differs: {{NAME: VALUE}}.")
    given: dict[str, Any] = {}
    for typed, value in row.items():
        name = own.resolve(str(typed))
        if overlaps(name, given):
            raise UserError(f"{name} is there twice; keep one.")
        if overlaps(name, fixed):
            raise UserError(f"--set gives {name}, which the row is about; leave that --set away.")
        given[name] = (
            [number_or_text(one) for one in value]
            if isinstance(value, list)
            else number_or_text(value)
        )
        needed = sum(within(leaf, name) for leaf in flat)
        if name not in flat and not (isinstance(value, list) and len(value) == needed):
            raise UserError(
                f"{name} needs {needed} values on {own.paper.backbone}; write {name}: "
                f"{[1] * needed}, or choose another --backbone."
            )
    if given.get("optimizer.name") == "adamw" and "optimizer.lr" not in {*given, *fixed}:
        raise UserError(
            "the learning rate is SGD's, and adamw needs its own; give optimizer.lr too."
        )
    return given
