"""Which of the sets that people name `train`, `test`, `val` and so on is which here."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from kd.errors import UserError, brief

TRAIN, TEST = "train", "test"
VALS = ("val", "valid", "validation")
NAMES = (TRAIN, TEST, *VALS)


class Roles(NamedTuple):
    """The names of the test set and of val, and what a person should know of that."""

    test: str
    val: str | None = None
    notes: tuple[str, ...] = ()


def roles(found: Collection[str], where: str, *, asked_val: bool) -> Roles | None:
    """Who is who beside `train`; None where there is neither a test set nor val.

    `asked_val`: whether val is another folder, which a person names. UserError where there would
    be two.
    """
    vals = [name for name in VALS if name in found]
    if len(vals) > 1:
        raise UserError(f"{where} has {vals[0]} and {vals[1]}; leave one of them.")
    if vals and TEST in found:
        if asked_val:
            raise UserError(
                f"{where} has a val set of its own, {vals[0]}, and --val names another; leave "
                "--val (images.val in a file) away."
            )
        return Roles(TEST, vals[0], (f"val is {vals[0]} of {where}, as it is.",))
    if vals:
        told = f"The test set is {vals[0]} of {where}, which has no other, so it stays sealed."
        return Roles(vals[0], None, (told,))
    return Roles(TEST) if TEST in found else None


def check_apart(val: Path, train: Sequence[Path], test: Sequence[Path]) -> None:
    """Raise UserError for a val set that is what is trained on, or what the last word is had by."""
    for what, paths in (("training", train), ("test", test)):
        if os.path.exists(val) and any(os.path.samefile(val, path) for path in paths):
            beside = "put a test set of its own beside it, or " if what == "test" else ""
            raise UserError(
                f"{brief(val)} is the {what} set here, and cannot be val too; {beside}give another "
                "--val (images.val in a file)."
            )
