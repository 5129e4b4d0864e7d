"""Flags given as keyword arguments: they are typed out and read, so that both are checked alike."""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, TypeVar

import yaml

from kd.errors import UserError, brief, unknown
from kd.section import read_yaml
from kd.typed import read_flags

A = TypeVar("A")


def from_keywords(flags: type[A], keywords: Mapping[str, Any], *positional: str) -> A:
    """The dataclass `flags` with what `keywords` say; None is as if it were not given.

    Of a flag that may be repeated one value or several; `positional` are the fields without a
    flag. A mapping is as many `NAME=VALUE`.

    Raises:
        UserError: a name that is no flag, or what the command says of the same values.
    """
    defaults = dict(defaults_of(flags))
    words: list[str] = []
    for name, value in keywords.items():
        if name not in defaults:
            raise unknown("keyword", name, defaults)
        if value is None:
            continue
        if name in positional:
            words = [*map(_name, _each(value)), *words]
        else:
            words += _words(name, value, defaults[name])
    return read_flags(flags, words)


def defaults_of(flags: type[Any]) -> Iterator[tuple[str, Any]]:
    """(name, default) of every flag; of one that must be given, dataclasses.MISSING."""
    for entry in fields(flags):
        made = entry.default_factory
        if made is not MISSING and is_dataclass(made):
            yield from defaults_of(made)
        else:
            yield entry.name, entry.default


def signature(call: Callable[..., Any], flags: type[Any], without: Sequence[str] = ()) -> Signature:
    """What an editor shows of `call`: its own parameters, and the flags for its `**keywords`."""
    own = [p for p in inspect.signature(call).parameters.values() if p.kind is not p.VAR_KEYWORD]
    shown = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None if default == () else default)
        for name, default in defaults_of(flags)
        if name not in (*without, *(p.name for p in own))
    ]
    return Signature([*own, *shown])


def _words(name: str, value: Any, default: Any) -> list[str]:
    """The words that give one flag."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(default, bool):
        given = plain(value)
        if not isinstance(given, bool):
            raise UserError(f"{flag} is {brief(given)}; give True or False.")
        # A flag turns its default over, so there is none that gives it.
        return [] if given is default else [f"--no-{flag[2:]}" if default else flag]
    texts = _each(value) if isinstance(default, tuple) else [str(plain(value))]
    # What begins like a flag is read as one unless it is tied to its own.
    return [w for text in texts for w in ([f"{flag}={text}"] if text[:1] == "-" else [flag, text])]


def _each(value: Any) -> list[str]:
    """The values of a flag that may be repeated."""
    value = plain(value)
    if isinstance(value, dict):
        return [f"{name}={_typed(inner)}" for name, inner in value.items()]
    return [str(inner) for inner in (value if isinstance(value, list) else [value])]


def _name(word: str) -> str:
    if word.startswith("-"):
        raise UserError(f"{brief(word)} begins like a flag, and is no name; give a name.")
    return word


def _typed(value: Any) -> str:
    """A value as it is typed after `NAME=`."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


# -- values of other libraries -------------------------------------------------------------------


def plain(value: Any) -> Any:
    """`value` of mappings, lists, words and numbers alone: arrays and tuples become lists."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset | range):
        return [plain(inner) for inner in value]
    if isinstance(value, Path):
        return str(value)
    # NumPy's, and torch's of one number.
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def as_file(name: str, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """What a YAML file of `mapping` would hold; UserError, with its `name`, where none can."""
    try:
        read = read_yaml(yaml.safe_dump(plain(mapping), sort_keys=False))
    except (yaml.YAMLError, RecursionError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{name} cannot be kept in a file ({brief(first)}); give names with numbers, words or "
            "lists of them."
        ) from None
    found: dict[str, Any] = read
    return found
