"""What confirming a sweep found: val accuracy on new seeds, and the one look at the test set."""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Self

from kd.config import Section, parse, read_mapping
from kd.errors import UserError
from kd.files import replace_file
from kd.text import as_json
from tuning.study.trials import REFERENCE

FILE = "confirm.json"


@dataclass(frozen=True, kw_only=True)
class Findings(Section):
    """The paper's default and a sweep's best trials, by number, trained on the same seeds.

    `val_acc` is val accuracy in percent, one a seed. `test` holds the scores of `winner`, whose
    configuration is `config`, and of the default, one mapping a seed.
    """

    sweep: str
    winner: int
    seeds: tuple[int, ...]
    config: dict[str, Any]
    val_acc: dict[int, list[float]]
    test: dict[int, list[dict[str, float]]]

    def __post_init__(self) -> None:
        for number in (REFERENCE, self.winner):
            val, test = self.val_acc.get(number, []), self.test.get(number, [])
            if not len(val) == len(test) == len(self.seeds) > 0:
                raise UserError(f"trial {number} has not a score for every seed.")
        for number, test in self.test.items():
            scores = [*self.val_acc.get(number, []), *(s.get("test_acc", math.nan) for s in test)]
            if not all(0 <= score <= 100 for score in scores):
                raise UserError(f"trial {number} has scores that are none.")

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """What the sweep's folder holds; None if it was not confirmed; UserError if damaged."""
        path = folder / FILE
        if not path.exists():
            return None
        try:
            return parse(cls, read_mapping(path), str(path))
        except UserError as error:
            raise UserError(
                f"{path} is damaged ({str(error).rstrip('.')}); restore a copy of it."
            ) from None

    @classmethod
    def check_place(cls, folder: Path) -> None:
        """Raise UserError where it could not be written: before the test set is opened."""
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UserError(f"Nothing may be written into {folder}; mend that first.")

    def save(self, folder: Path) -> None:
        """Write it into the sweep's folder."""
        text = as_json(asdict(self), indent=2) + "\n"
        replace_file(folder / FILE, text.encode(), "make room for it")

    def test_acc(self, number: int) -> list[float]:
        """Test accuracies in percent, one a seed; none for a trial whose test stayed sealed."""
        return [scores["test_acc"] for scores in self.test.get(number, [])]

    def rows(self) -> list[tuple[str, str, str]]:
        """(name, val accuracy, test accuracy) of every trial, with deviation and n."""
        names = {REFERENCE: "paper's default", self.winner: f"trial {self.winner}, the winner"}
        return [
            (
                names.get(number, f"trial {number}"),
                mean_deviation(val),
                mean_deviation(self.test_acc(number)) if number in self.test else "sealed",
            )
            for number, val in self.val_acc.items()
        ]

    def sentence(self) -> str:
        """The winner against the default on test."""
        difference, p = paired(self.test_acc(self.winner), self.test_acc(REFERENCE))
        n = len(self.seeds)
        seeds = f"{n} seed{'s' * (n > 1)}"
        if p is not None:
            sure = f", p = {p:.2g} (paired t-test)"
        else:
            sure = ", the same on each, which no t-test can judge" if n > 1 else ""
        return f"On test, {difference:+.2f} points on the default over {seeds}{sure}."


def paired(winner: Sequence[float], default: Sequence[float]) -> tuple[float, float | None]:
    """Mean difference over the seeds, and p of a paired t-test.

    None for p where there is no deviation to test by: a single seed, or equal differences.
    """
    differences = [a - b for a, b in zip(winner, default, strict=True)]
    difference = fmean(differences)
    if math.isclose(min(differences), max(differences), abs_tol=1e-9):
        return difference, None
    # scipy.stats has this test too, but takes ten times as long to import.
    from scipy.special import stdtr

    n = len(differences)
    error = stdev(differences) / math.sqrt(n)
    return difference, float(2 * stdtr(n - 1, -abs(difference / error)))


def mean_deviation(values: Sequence[float]) -> str:
    """`86.10 ± 0.42 % (n = 5)`, mean and sample standard deviation."""
    deviation = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{deviation} % (n = {len(values)})"
