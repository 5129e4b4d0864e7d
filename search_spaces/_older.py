"""Ranges as sweeps before had them, where a list of two numbers was a range."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kd.errors import UserError
from search_spaces._domains import Range, is_number, number_or_text
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
