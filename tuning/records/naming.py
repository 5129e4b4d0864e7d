"""What sweeps and comparisons may be called."""

import re

from kd.errors import UserError, brief

NAME = r"\w[\w.-]*"
"""As a regular expression."""
LONGEST = 100
"""Bytes of a name, and of the cell's part of one: a file system has room for 255 in all."""

TEACHERS = "teachers"
"""The folder of a storage in which teachers are kept for later sweeps."""
SLURM = "slurm"
"""The folder of a storage in which Slurm's batch files are, what they print, and their jobs."""
TAKEN = ("mlflow.db", "packing.json", "comparison.html", TEACHERS, SLURM)
"""What a storage folder holds beside the sweeps' folders."""


def made_of(text: str) -> str:
    """A name, or the beginning of one, made of any text."""
    return re.sub(r"[^\w.-]", "-", text).encode()[:LONGEST].decode(errors="ignore")


def check_name(name: str) -> None:
    """Raise UserError for what no folder of a sweep may be called."""
    if not re.fullmatch(NAME, name):
        raise UserError(
            f"--name is '{brief(name)}'; use letters, digits, and '-', '_' or '.' between them."
        )


def check_given(name: str) -> None:
    """The same for a name that a person gives, to which a cell's may be added."""
    check_name(name)
    if name in TAKEN:
        raise UserError(
            f"--name is {name}, which every storage folder has of its own; give another."
        )
    if len(name.encode()) > LONGEST:
        raise UserError(f"--name is '{brief(name)}'; give one of at most {LONGEST} bytes.")
