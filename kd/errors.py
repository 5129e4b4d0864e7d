"""What a person typed wrong, said in one sentence."""

from collections.abc import Iterable
from difflib import get_close_matches


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
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of: {', '.join(names)}."
    return UserError(f"There is no {kind} '{name}'; {hint}")


class DivergedError(Exception):
    """The loss stopped being a finite number."""

    def __init__(self, epoch: int, phase: str = "") -> None:
        of_phase = f" of phase {phase}" if phase else ""
        super().__init__(f"the loss was not finite in epoch {epoch}{of_phase}")
        self.epoch = epoch
