"""What travels to a cluster with a sweep: its command line, and the project's own packages."""

import shlex
import shutil
from pathlib import Path

from tuning.records.anew import typed
from tuning.records.request import HERE_ONLY, Flags

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


def pack(folder: Path) -> None:
    """Copy the project's own packages, and nothing else of this machine, into `folder`."""
    root = Path(__file__).parents[2]
    for package in PACKAGES:
        shutil.copytree(
            root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
