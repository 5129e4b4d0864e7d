"""What a person typed wrong, said in one sentence."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input. The message is one sentence: what is wrong and what to type instead.

    Command lines print it without a traceback and exit with code 2.
    """


def brief(value: object, most: int = 120) -> str:
    """`value` as a sentence may hold it: on one line, and a long one cut in its middle."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most // 2) :]}"


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
    """The error for a `name` that is not among the `known` ones, offering the nearest."""
    names = sorted(known)
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of: {', '.join(names)}."
    return UserError(f"There is no {kind} {brief(repr(str(name)))}; {hint}")
