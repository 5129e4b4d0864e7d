"""What was typed after a command: its flags, or one sentence for what is wrong with it."""

import io
import os
import re
import sys
from collections.abc import Mapping, Sequence, Set
from contextlib import redirect_stderr
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast

import tyro

from kd.errors import UserError, brief

A = TypeVar("A")

_HELP = "--help lists what can be given."


def read_flags(flags: type[A], argv: Sequence[str] | None) -> A:
    """The dataclass `flags` with what `argv` says; `~` in its paths is expanded.

    A flag in its `refused` is refused with the sentence that stands there; its `check_typed` is
    told the names of the flags that were typed, at whatever value.

    UserError in one sentence for a flag, a value or a path that cannot be; the parser's own
    SystemExit after --help.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    _check_empty(words)
    _check_refused(words, getattr(flags, "refused", {}))
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    prog = f"python -m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            read = tyro.cli(flags, args=words, prog=prog, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as end:
        if not end.code:
            raise
        raise UserError(_sentence(complaint.getvalue(), words, _several(flags))) from None
    read = _expanded(read)
    if check := getattr(read, "check_typed", None):
        check({_flag(word)[2:].replace("-", "_") for word in words if word.startswith("--")})
    return cast(A, read)


def _flag(word: str) -> str:
    """The flag that `word` is, without a value, as the help writes it."""
    return word.partition("=")[0].replace("_", "-")


def _check_empty(words: Sequence[str]) -> None:
    """An empty word is most often a variable of the shell that is not set."""
    for before, word in zip(["", *words], words, strict=False):
        if word and not re.fullmatch(r"--[\w-]+=", word):
            continue
        flag = word.rstrip("=") or before
        whose = f"{flag} is empty" if flag.startswith("--") else "One of the words is empty"
        raise UserError(f"{brief(whose)}; give a value, or leave it away.")


def _check_refused(words: Sequence[str], refused: Mapping[str, str]) -> None:
    for word in words:
        if (flag := _flag(word)) in refused:
            raise UserError(refused[flag])


def _expanded(read: Any) -> Any:
    """`read` with the user's folder for `~`, which no shell writes out in `--output=~/x`."""
    changed: dict[str, Any] = {}
    for entry in fields(read):
        value = getattr(read, entry.name)
        if is_dataclass(value):
            changed[entry.name] = _expanded(value)
        elif isinstance(value, Path) and str(value).startswith("~"):
            path = os.path.expanduser(value)
            if path.startswith("~"):
                flag = entry.name.replace("_", "-")
                user = brief(value.parts[0].removeprefix("~"))
                raise UserError(
                    f"--{flag} is {brief(value)}, but there is no user {user!r} here; for a "
                    f"folder of that name type ./{brief(value)}."
                )
            changed[entry.name] = Path(path)
    return replace(read, **changed) if changed else read


# -- the parser's box, as a sentence ---------------------------------------------------------------

_KINDS = {"INT": "a whole number", "FLOAT": "a number", "PATH": "a path", "STR": "a text"}


def _sentence(box: str, words: Sequence[str], several: Set[str]) -> str:
    """What the parser says in the first paragraph of its box about `words`.

    The flags of `several` may be repeated.
    """
    # The box is one of dashes and spaces where the terminal's encoding lacks its lines.
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]
    lines = ["" if set(line) <= set("╰╯─-") else line for line in lines]
    begin = next((i for i, line in enumerate(lines) if line), 0)
    end = next((i for i, line in enumerate(lines) if i > begin and not line), len(lines))
    text = re.sub(r"\s+", " ", " ".join(lines[begin:end])).rstrip(".")
    if found := re.match(r"Error parsing (--\S+): (.*)", text):
        return f"{found[1]} is '{_value(found[1], words)}'; give {_kind(found[2])}."
    for word in sorted(words, key=len, reverse=True):
        if len(word) > 60:
            # The box breaks it into lines.
            broken = re.search(" ?".join(map(re.escape, word)), text)
            text = text.replace(broken[0], brief(word)) if broken else text
    return _plainer(text, re.findall(r"(--[\w-]+)", " ".join(lines[end:])), words, several)


def _value(flag: str, words: Sequence[str]) -> str:
    """What was typed for `flag`, of which the parser's text may have a part alone."""
    for word, following in reversed(list(zip(words, [*words[1:], ""], strict=True))):
        name, equals, _ = word.replace("_", "-").partition("=")
        if name == flag:
            return brief(word.partition("=")[2] if equals else following)
    return "?"


def _kind(text: str) -> str:
    """What the parser wanted instead, by what it says of the types that it tried."""
    if found := re.match(r"no type matching (\S+) could", text):
        names = [name for name in found[1].split("|") if name != "{None}"]
        return " or ".join(_KINDS.get(name, name.strip("{}")) for name in names)
    return "a number" if "float" in text else "a whole number"


def _plainer(text: str, near: Sequence[str], words: Sequence[str], several: Set[str]) -> str:
    """The parser's text in the words of a person; `near` are flags that it offers instead."""
    if found := re.match(r"invalid choice (.*) for argument '(.*)'\. Expected.*\((.*)\)", text):
        _, flag, choices = found.groups()
        # Of a choice that may be left away, the parser gives them in the order of a set.
        known = sorted(c for c in re.findall(r"'([^']*)'", choices) if c != "None")
        return f"{flag} is '{_value(flag, words)}'; choose one of: {', '.join(known)}."
    if found := re.match(r"Missing value for argument '(.*?)'", text):
        return f"{found[1]} is there without a value; give one, or leave it away."
    if found := re.match(r"Missing from .*?: (\S+) (.*?)\.? \(required\)", text):
        what = found[2][0].lower() + found[2][1:]
        return f"{found[1]} is missing: {what}; {_HELP}"
    if found := re.match(r"Unrecognized options: (.*)", text):
        return _unrecognized(found[1].split(", "), near, words, several)
    return f"{text}; {_HELP}"


def _unrecognized(
    told: Sequence[str], near: Sequence[str], words: Sequence[str], several: Set[str]
) -> str:
    """Of the strange words that the parser has told; values of flags, one may be a password."""
    # What follows a word that begins so may be its value, whatever that begins with.
    after = dict(zip(map(brief, words[1:]), words, strict=False))
    typed = {brief(word).partition("=")[0] for word in words if word.startswith("-")}
    flags = [flag for word in told if (flag := word.partition("=")[0]) in typed]
    strange = [flag for flag in flags if not after.get(flag, "").startswith("-")]
    if flags:
        known = [flag for flag in near if flag not in {"--help", *typed}]
        shown = strange or flags[:1]
        offered = get_close_matches(shown[0], known, n=1, cutoff=0.6)
        hint = f"did you mean {offered[0]}?" if offered else _HELP
        return f"There is no flag {', '.join(map(brief, shown))} here; {hint}"
    place = words.index(told[0]) if told[0] in words else 0
    flag = words[place - 2] if place > 1 else ""
    hint = f"give {flag} once for each value." if _flag(flag) in several else _HELP
    return f"There is no word {', '.join(map(brief, told))} here; {hint}"


def _several(flags: Any) -> set[str]:
    """The flags of a dataclass that may be repeated."""
    found = {f"--{f.name.replace('_', '-')}" for f in fields(flags) if f.default == ()}
    inner = (f.default_factory for f in fields(flags) if is_dataclass(f.default_factory))
    return found.union(*map(_several, inner))
