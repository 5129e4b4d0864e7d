"""An ablation: rows that differ from a default in a few values, as a space of them alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from kd.config import TrainConfig
from kd.errors import UserError, brief
from search_spaces._domains import Choice, number_or_text
from search_spaces._load import OwnSpace, overlaps, own_space, read_fixed
from search_spaces._space import Space

LONGEST = 60
"""Letters of a label at most, so that a table of them fits on a screen."""
DEFAULT = "the paper's default"
"""What the first line of that table is called."""


def load_rows(
    base: TrainConfig,
    rows: Mapping[str, Any],
    *,
    fixed: Mapping[str, str] | None = None,
    where: str = "the rows",
) -> Space:
    """The space of `base` and of `rows` around it: names and values of what differs, by labels.

    `fixed` gives values, as typed, to what no row names. What varies is what the rows name, each
    among the values that it has in them and in the default; None for an element of a list that ends
    before it.

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
    for typed, row in rows.items():
        label = _label(typed, found, where)
        which = f"{where}, row {label!r}"
        try:
            given = _read_row(row, own, values)
            config = Space({}, given).apply(default, {}, which)
        except UserError as error:
            said = str(error)
            raise UserError(said if said.startswith(which) else f"{which}: {said}") from None
        mine = config.flat()
        changed = {n: mine.get(n) for n in {**flat, **mine} if mine.get(n) != flat.get(n)}
        if not changed:
            raise UserError(f"{which} is the default, which is trained anyway; leave it away.")
        if twin := next((other for other, its in found.items() if its == changed), None):
            raise UserError(f"{which} is the same as row {twin!r}; leave one of them away.")
        found[label] = changed
    domains: dict[str, Choice] = {}
    for name, value in (pair for row in found.values() for pair in row.items()):
        known = domains[name].values if name in domains else (flat.get(name),)
        domains[name] = Choice(known if value in known else (*known, value))
    return Space(domains, values, found)


def _label(label: Any, others: Iterable[str], where: str) -> str:
    """`label` without blanks around it; UserError for what heads no row beside the `others`."""
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
    kept: str = label.strip()
    if kept == DEFAULT:
        raise UserError(
            f'{where} has a row "{DEFAULT}", as the table\'s first line is called; give it another '
            "label."
        )
    if kept in others:
        raise UserError(f"{where} has two rows {kept!r}; give one of them another label.")
    return kept


def _read_row(row: Any, own: OwnSpace, fixed: Mapping[str, Any]) -> dict[str, Any]:
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
        if example := own.lacking(name, value):
            raise UserError(
                f"{name} needs {len(example)} values on {own.paper.backbone}; write {name}: "
                f"{example}, or choose another --backbone."
            )
    if given.get("optimizer.name") == "adamw" and "optimizer.lr" not in {*given, *fixed}:
        raise UserError(
            "the learning rate is SGD's, and adamw needs its own; give optimizer.lr too."
        )
    return given
