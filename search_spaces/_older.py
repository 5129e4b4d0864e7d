"""Spaces as sweeps before had them.

A list of two numbers was a range; and a method may have fewer hyperparameters than it has now.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kd.config import TrainConfig
from kd.errors import UserError
from kd.section import flatten
from search_spaces._domains import Range, is_number, number_or_text, written
from search_spaces._load import OwnSpace, own_space


def written_out(
    ranges: Mapping[str, Any], method: str, backbone: str, *, optimizer: bool
) -> dict[str, Any]:
    """`ranges` with every list of two numbers as the range that it was: `load_space` refuses them.

    It was logarithmic where the range was that it replaced. What cannot be read stays as it is.
    """
    own = own_space(method, backbone, optimizer=optimizer)
    whole: dict[str, Any] = {}
    for typed, spec in ranges.items():
        found = {typed: spec}
        with suppress(UserError):
            found = _written_out(str(typed), spec, own)
        whole |= found
    return whole


def came_later(kept: Mapping[str, Any], base: TrainConfig, *, optimizer: bool) -> dict[str, str]:
    """What a sweep does not search that kept its base as `kept`, and its value of `base`.

    It became a hyperparameter later; so the sweep goes on in the space that it began in.
    """
    known, flat = dict(flatten(kept)), base.flat()
    own = own_space(base.method, base.backbone, optimizer=optimizer)
    late = (leaf for leaf in own.domains if leaf not in known and leaf.split(".")[0] in kept)
    return {leaf: written(flat[leaf]) for leaf in late}


def _written_out(typed: str, spec: Any, own: OwnSpace) -> dict[str, Any]:
    pair = [number_or_text(value) for value in spec] if isinstance(spec, list) else []
    if len(pair) != 2 or not all(map(is_number, pair)):
        return {typed: spec}
    low, high = pair
    leaves = [leaf for leaf in own.leaves(typed) if is_number(own.paper.flat()[leaf])]
    found: dict[str, Any] = {}
    for leaf in leaves:
        before = own.domains.get(leaf)
        log = isinstance(before, Range) and before.log and low > 0
        found[leaf] = {"low": low, "high": high, "log": log}
    return {typed: next(iter(found.values()))} if len(found) == 1 else found or {typed: spec}
