"""What a part of a configuration file is: a frozen dataclass, read and checked with a sentence."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass
from math import inf
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from kd.errors import UserError, brief, unknown

SEEDS = 2**63
"""How many there are: TOML, Parquet and torch hold every whole number from 0 up to this one."""


class Section:
    """A part of a configuration file; unknown keys are refused.

    A subclass is a dataclass that raises `UserError` from `__post_init__` for a value that
    makes no sense. Its `_prefix` is what stands before the names of its fields, such as `kd.`.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    _prefix: ClassVar[str] = ""

    def check(
        self, name: str, low: float, high: float, *, open_low: bool = False, open_high: bool = False
    ) -> None:
        """Raise `UserError` unless field `name` is finite and in [low, high].

        `open_low` and `open_high` leave out the end itself; an infinite end is no bound.
        """
        value = getattr(self, name)
        above = low < value if open_low else low <= value
        below = value < high if open_high else value <= high
        if above and below and abs(value) != inf:
            return
        bounds = [f"{'above' if open_low else 'at least'} {_short(low)}"] if low > -inf else []
        if high < inf:
            bounds.append(f"{'below' if open_high else 'at most'} {_short(high)}")
        elif isinstance(value, float):
            bounds.append("finite")
        shown = brief(value)
        raise UserError(f"{self._prefix}{name} is {shown}; it must be {' and '.join(bounds)}.")


# -- from values to a section -------------------------------------------------------------------

T = TypeVar("T")
_PLAINER = {
    "input should be": "it must be",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid string": "a text",
    "a valid dictionary": "names and values",
    "a valid tuple": "a list",
    "a valid list": "a list",
}
"""pydantic's words, and those that are said instead."""
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def parse(cls: type[T], data: Any, where: str, within: str = "") -> T:
    """Check `data` against the dataclass `cls`; UserError names `where` and the field."""
    try:
        if cls not in _ADAPTERS:
            _ADAPTERS[cls] = TypeAdapter(cls)
        checked: Any = _ADAPTERS[cls].validate_python(data)
    except ValidationError as failure:
        raise _refusal(cls, failure.errors()[0], where, within) from None
    read = dict(flatten(asdict(checked)))
    for name, value in flatten(data):
        # To pydantic true is as good as 1.
        if isinstance(value, bool) and not isinstance(read.get(name), bool):
            typed = str(value).lower()
            raise UserError(f"{where}: {within}{name} is {typed}, but it must be a number.")
    result: T = checked
    return result


def _refusal(cls: type[Any], error: Any, where: str, within: str) -> UserError:
    """The sentence for the first of pydantic's errors."""
    name = within + ".".join(str(part) for part in error["loc"])
    last = error["loc"][-1]
    if error["type"] == "too_long" or (error["type"] == "missing" and isinstance(last, int)):
        whole = name.removesuffix(f".{last}") if isinstance(last, int) else name
        most = error.get("ctx", {}).get("max_length")
        few = f"at most {most} values" if most is not None else "more values"
        return UserError(f"{where}: {whole} needs {few}; give as many as the paper has.")
    if error["type"] == "missing":
        return UserError(f"{where} has no {name!r}; add a line `{name}: …`.")
    if error["type"] == "unexpected_keyword_argument":
        owner: Any = cls
        # Of a list of sections, a number says which.
        for part in (part for part in error["loc"][:-1] if isinstance(part, str)):
            kind = get_type_hints(owner)[part]
            owner = next(filter(is_dataclass, get_args(kind)), kind)
        known = [f.name for f in fields(owner)]
        return UserError(f"{where}: {unknown('key', error['loc'][-1], known)}")
    given = "empty" if error["input"] is None else brief(_quoted(error["input"]))
    message = re.sub(", (unable|got) .*", "", error["msg"]).rstrip(".")
    message = re.sub(r"a dictionary or an instance of \w+", "a valid dictionary", message)
    message = message[0].lower() + message[1:]
    for theirs, ours in _PLAINER.items():
        message = message.replace(theirs, ours)
    return UserError(f"{where}: {name} is {given}, but {message}.")


def _short(bound: float) -> str:
    """A bound as it is typed."""
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and plain values of nested mappings and lists: `kd.lambda_b.0`, 3.0."""
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


# -- from a file to values ----------------------------------------------------------------------


LARGEST = 2**18
"""Bytes of a file of values at most; a person's has some hundred."""
MOST = 10_000
"""Values in it at most, once its aliases are written out."""


def read_mapping(path: str | Path, remedy: str = "give the path of a YAML file") -> dict[str, Any]:
    """The mapping that a YAML or JSON file holds; UserError if it holds anything else.

    `remedy` is for a file that cannot be read.
    """
    try:
        data = read_yaml(_text(Path(path)))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text file"
        raise UserError(f"{path} cannot be read: {reason}; {remedy}.") from None
    except _RefusedError as error:
        raise UserError(f"{path} {error}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise UserError(f"{path} is not valid YAML{line}; mend it or export it again.") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold names and values, one `name: value` a line.")
    return data


def read_yaml(text: str) -> Any:
    """The value that `text` stands for; yaml.YAMLError for whatever is wrong with it."""
    try:
        return yaml.load(text, _Loader)
    except (AttributeError, LookupError, RecursionError, ValueError) as error:
        # PyYAML lets through what building a value raises: `2020-13-45`, `!!int x`, `[[[[…`.
        raise yaml.YAMLError(str(error)) from None


def _text(path: Path) -> str:
    if path.exists() and not (path.is_file() or path.is_dir()):
        # A pipe that nobody writes to would be waited for.
        raise OSError(0, "it is a pipe or a device")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(0, f"it is larger than {LARGEST // 1024} KiB")
    return content.decode("utf-8")


class _RefusedError(yaml.YAMLError):
    """What YAML allows and a file of values does not; says what, and what to do."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, and aliases that stand for more than memory holds."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            # JSON writes a character beyond the BMP as two; one alone is no text, and stays.
            with suppress(UnicodeDecodeError):
                return value.encode("utf-16", "surrogatepass").decode("utf-16")
        return value

    def construct_document(self, node: yaml.Node) -> Any:
        if _count(node, {}) > MOST:
            raise _RefusedError(
                f"holds more than {MOST} values, its aliases written out; leave some away"
            )
        return super().construct_document(node)


def _count(node: yaml.Node, counted: dict[int, int]) -> int:
    """How many values `node` stands for, aliases written out."""
    if id(node) not in counted:
        # What stands within itself never ends.
        counted[id(node)] = MOST + 1
        parts = [] if isinstance(node, yaml.ScalarNode) else node.value
        if isinstance(node, yaml.MappingNode):
            names = set()
            for key, _ in node.value:
                name = (key.tag, str(key.value))
                if name in names and isinstance(key, yaml.ScalarNode):
                    line = key.start_mark.line + 1
                    raise _RefusedError(f"says {brief(key.value)} twice (line {line}); keep one")
                names.add(name)
            parts = [part for pair in node.value for part in pair]
        counted[id(node)] = 1 + sum(_count(part, counted) for part in parts)
    return counted[id(node)]


def _quoted(value: object) -> str:
    try:
        return repr(value)
    except ValueError:
        return brief(value)
