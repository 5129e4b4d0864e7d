"""What a person typed wrong, said in one sentence."""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

LISTED = 520
"""Letters that a list of names in a sentence may have."""


class UserError(Exception):
    """Bad input. The message is one sentence: what is wrong and what to type instead.

    Command lines print it without a traceback and exit with code 2.
    """


def brief(value: object, most: int = 120) -> str:
    """`value` as a sentence may hold it: on one line, and of a long one its beginning."""
    try:
        whole = str(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits.
        return "a number of thousands of digits"
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in whole)
    return text if len(text) <= most else f"{text[: most // 2]}… ({len(text)} characters)"


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
    """The error for a `name` that is not among the `known` ones, offering the nearest."""
    names = sorted(known)
    name = brief(name)
    likeness, _, near = max((_likeness(each, name) for each in names), default=(0.0, 0, ""))
    hint = f"did you mean {near!r}?" if likeness >= 0.5 else f"choose one of: {_listed(names)}."
    return UserError(f"There is no {kind} '{name}'; {hint}")


def _listed(names: Sequence[str]) -> str:
    """The names, of many as many as a sentence holds."""
    shown, left = list(names), 0
    while sum(map(len, shown)) + 2 * len(shown) > LISTED:
        shown.pop()
        left += 1
    return ", ".join(shown) + (f" and {left} more" if left else "")


def _likeness(known: str, name: str) -> tuple[float, int, str]:
    """How alike they are; of equals the one that shares the longest run goes before."""
    matcher = SequenceMatcher(None, known, name)
    return matcher.ratio(), matcher.find_longest_match().size, known


class DivergedError(Exception):
    """The loss stopped being a finite number."""

    def __init__(self, epoch: int, phase: str = "") -> None:
        of_phase = f" of phase {phase}" if phase else ""
        super().__init__(f"the loss was not finite in epoch {epoch}{of_phase}")
        self.epoch = epoch
