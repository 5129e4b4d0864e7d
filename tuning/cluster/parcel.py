"""What travels to a cluster with a sweep: its command line, and the project's own packages."""

import shlex
import shutil
from collections.abc import Collection
from pathlib import Path

from kd.backbones.names import BackboneName
from kd.backbones.own import OWN, source_of
from kd.backbones.sent import code_of
from kd.config import is_file, networks_of
from kd.errors import UserError
from tuning.records.anew import typed
from tuning.records.request import HERE_ONLY, Flags
from tuning.records.settings import SweepSettings, sweep_names

PACKAGES = ("kd", "search_spaces", "tuning")


def to_words(flags: Flags) -> list[str]:
    """The command line that gives `flags`, without what is for this machine only."""
    words: list[str] = []
    for name, value in flags.given():
        if name in HERE_ONLY:
            continue
        words = [*value, *words] if name == "method" else [*words, *typed(name, value)]
    return words


def quoted(word: str) -> str:
    """A word for the shell, which still sees the home folder in `~/`."""
    home = "~/"
    return home + shlex.quote(word[2:]) if word.startswith(home) else shlex.quote(word)


def pack(folder: Path, backbones: Collection[str] = ()) -> None:
    """Copy the project's own packages into `folder`, and the code of networks of one's own.

    Nothing else of this machine; `backbones` are those that the sweep trains.

    Raises:
        UserError: the file of one is not here, or has the name of one of these packages.
    """
    root = Path(__file__).parents[2]
    for package in PACKAGES:
        shutil.copytree(
            root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for backbone in backbones:
        if (name := BackboneName.parse(backbone)).kind == OWN:
            source = source_of(name)
            if source is None or source.name in PACKAGES:
                raise UserError(
                    f"The file of {name.short} is not here; type the command in the folder where "
                    "it lies."
                )
    for file, content in code_of(backbones).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)


def backbones_of(flags: Flags) -> set[str]:
    """The backbones that the flags name, and those of the sweeps to go on with that are known here.

    UserError where a sweep's folder here is damaged.
    """
    storage = flags.options.storage
    known = [name for name in flags.resume or () if name in sweep_names(storage)]
    resumed = (networks_of(SweepSettings.load(storage, name).base) for name in known)
    named = (name for name in (*flags.teacher, *flags.assistant) if not is_file(name))
    return {*flags.backbone, *named}.union(*resumed)
