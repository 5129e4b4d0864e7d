"""How a value that a person chose (a data set's name, a path) is written in other languages."""

import re
import shlex
from collections.abc import Iterable
from typing import Any

import yaml

from kd.errors import UserError
from kd.text import visible


def commented(lines: Iterable[str]) -> str:
    """Comment lines for YAML and shells; whatever ends a line in one of them is escaped."""
    return "".join(f"# {visible(line)}\n" for line in lines)


class _Dumper(yaml.SafeDumper):
    """Quotes all strings but plain words: readers differ in what they take for numbers."""


def _string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None if re.fullmatch(r"[A-Za-z_][\w.-]*", text, re.ASCII) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _sequence(dumper: _Dumper, values: "tuple[Any, ...]") -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values)


_Dumper.add_representer(str, _string)
_Dumper.add_representer(tuple, _sequence)


def as_yaml(tree: dict[str, Any]) -> str:
    """YAML that versions 1.1 and 1.2, OmegaConf and jsonargparse read as the same values."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False)


def as_command(words: Iterable[str]) -> str:
    """One line for a shell, which passes `words` on as they are."""
    return shlex.join(words) + "\n"


def check_line(target: str, name: str, text: str, refused: str = "") -> None:
    """Raise UserError if one line of `target` cannot hold the text `name`.

    `refused` is a pattern of what its readers take for something else.
    """
    if not text.isprintable() or (refused and re.search(refused, text)):
        raise UserError(
            f"{target} cannot express {name}={visible(text)[:80]}, since its readers differ in "
            "what they make of such characters; export to yaml instead."
        )
