"""From what a person types for a hyperparameter to its dotted name."""

from collections.abc import Iterable

from kd.errors import UserError, unknown

SYMBOLS = {
    "tau": "temperature",
    "τ": "temperature",
    "T": "temperature",
    "α": "alpha",
    "alpha_T": "alpha",
    "alpha1": "alpha",
    "β": "beta",
    "γ": "gamma",
    "λ": "lambda_b",
    "learning_rate": "lr",
    "wd": "weight_decay",
}
"""The papers' symbols and other common names, where a configuration has a word."""


def resolve(typed: str, searched: Iterable[str], settable: Iterable[str]) -> str:
    """The dotted name that `typed` means: dotted, without its section, or a paper's symbol.

    A name that is searched goes before one that may only be set. Raises `UserError` if `typed`
    means nothing (offering the nearest name) or two things.
    """
    settable = list(settable)
    head, dot, rest = typed.partition(".")
    for spelling in (typed, SYMBOLS.get(head, head) + dot + rest):
        for known in (searched, settable):
            found = [name for name in known if spelling in (name, name.partition(".")[2])]
            if len(found) == 1:
                return found[0]
            if found:
                raise UserError(f"{typed!r} may be {' or '.join(found)}; type one of them in full.")
    raise unknown("hyperparameter", typed, settable)
