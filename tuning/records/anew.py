"""The command that asks for a sweep like one that there is."""

from dataclasses import asdict, fields
from shlex import quote
from typing import Any

from kd.config import ImagesConfig, SplitConfig
from kd.data.sources import FLAGS
from kd.files import relative
from tuning.records.ablation import OF_ROWS
from tuning.records.options import Options
from tuning.records.settings import SweepSettings
from tuning.records.teaching import typed_teachers

MAPPINGS = ("space", "grid")
"""Flags whose file may come as a mapping, and what then stands for it."""


def anew(settings: SweepSettings) -> str:
    """The command of a new sweep like this one, without its epochs and its store's address.

    The address may hold a password; who knows it gives it again.
    """
    base = settings.base
    words = [base.method, "--backbone", base.backbone, "--dataset", base.dataset]
    if settings.rows:
        words[:1] = ["--grid", _file(settings.grid_file)]
    else:
        words += [] if settings.trials is None else ["--trials", str(settings.trials)]
        words += ["--grace-period", str(settings.grace_period)]
    words += typed_teachers(base.teachers)
    for name, flag in FLAGS.items():
        if (value := getattr(base.images, name)) != getattr(ImagesConfig, name):
            words += [flag] if value is True else [flag, str(value)]
    whole = asdict(SplitConfig())
    split = {n: v for n, v in asdict(base.split).items() if v != whole[n] and v is not None}
    fixed = settings.fixed | {f"split.{name}": str(value) for name, value in split.items()}
    named = {*settings.ranges, *(name for row in settings.rows.values() for name in row)}
    if "batch_size" not in {*fixed, *named}:
        # Another preset would choose another one.
        fixed["batch_size"] = str(base.batch_size)
    for name, value in fixed.items():
        words += ["--set", f"{name}={value}"]
    if settings.ranges:
        words += ["--space", _file(settings.ranges_file)]
    given = {entry.name: getattr(settings, entry.name) for entry in fields(Options)}
    given["storage"] = relative(settings.storage)
    usual = vars(Options()) | (OF_ROWS if settings.rows else {"seeds_per_trial": 1})
    for name, value in given.items():
        if value not in (None, usual[name]) and name != "tracking_uri":
            words += typed(name, value)
    return " ".join(["python -m tuning.search", *map(quote, words)])


def _file(name: str) -> str:
    """The file that was given; what came without one is to be written into one."""
    return "FILE" if name in MAPPINGS else name


def typed(name: str, value: Any) -> list[str]:
    """The words that give the flag `name`."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    items = value if isinstance(value, tuple) else (value,)
    return [word for item in items for word in (f"--{flag}", str(item))]
