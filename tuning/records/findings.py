"""What confirming a sweep found: val accuracy on new seeds, and the one look at the test set."""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import repeat
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Self

from kd.config import Section, TrainConfig, parse, read_mapping
from kd.errors import UserError
from kd.files import replace_file
from kd.text import as_json
from tuning.study.race import ERROR, p_value
from tuning.study.trials import REFERENCE

FILE = "confirm.json"
OPENING = ".opening.json"
"""Ends the name of the note that a test set is being read, in a sweep's folder."""
NOT_CONFIRMED = "not confirmed"
"""Ends what is said of a score that no confirmation stands behind."""
UNCONFIRMED = f"one run, {NOT_CONFIRMED}"


class IncompleteError(UserError):
    """A training that others are compared with did not complete, so nothing is decided."""


@dataclass(frozen=True, kw_only=True)
class Opening(Section):
    """The test set was opened: when (ISO 8601), and why again, where it was not the first time."""

    when: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Findings(Section):
    """The paper's default and a sweep's best trials, by number, trained on the same seeds.

    `val_acc` is val accuracy in percent, one a seed; a candidate that was dropped has fewer than
    `seeds`, of which there were `most` at most. `winner` is the trial that is handed out: the best
    of those that are better than the default, else the default itself (before a race decided it,
    the best by its mean). `test` holds the scores of `winner`, whose configuration is `config`,
    and of the default, one mapping a seed; `refit` those of the network that learned from val too.
    `openings` says when the test set was opened.
    """

    sweep: str
    winner: int
    seeds: tuple[int, ...]
    config: dict[str, Any]
    val_acc: dict[int, list[float]]
    test: dict[int, list[dict[str, float]]]
    most: int = 0
    openings: tuple[Opening, ...] = ()
    refit: dict[str, float] | None = None

    def __post_init__(self) -> None:
        for number in (REFERENCE, self.winner):
            val, test = self.val_acc.get(number, []), self.test.get(number, [])
            if not len(val) == len(test) == len(self.seeds) > 0:
                raise UserError(f"trial {number} has not a score for every seed.")
        for number, val in self.val_acc.items():
            scores = [*val, *self.test_acc(number)]
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

    def save(self, folder: Path, earlier: int | None = None) -> None:
        """Write it into the sweep's folder; as the `earlier` one where another takes its place."""
        text = as_json(asdict(self), indent=2) + "\n"
        name = FILE if earlier is None else f"confirm-{earlier}.json"
        replace_file(folder / name, text.encode(), None)

    # -- what is handed out -------------------------------------------------------------------

    @property
    def handed_out(self) -> int:
        """The trial whose configuration is: the winner where it is better than the default."""
        return self.winner if self.p_of(self.winner) <= ERROR else REFERENCE

    def is_of(self, config: TrainConfig) -> bool:
        """Whether `config` is what is handed out, with whatever seed, trained on val too or not."""
        if self.handed_out != self.winner:
            return False
        own = replace(TrainConfig.from_dict(self.config), seed=config.seed, split=config.split)
        return own.portable == config.portable

    @property
    def opened(self) -> int:
        """How often test was opened; findings of before that was noted have been found in one."""
        return max(len(self.openings), 1)

    def noted(self, note: str | None) -> bool:
        """Whether test was opened last with that note, for which it is not opened again."""
        known = self.openings[-1].note if self.openings else ""
        return bool(note) and known == one_line(note or "")

    def before(self, moment: float | None) -> bool:
        """Whether it was found before that moment, in seconds since the epoch."""
        when = self.openings[-1].when if self.openings else ""
        return bool(when and moment) and datetime.fromisoformat(when).timestamp() < (moment or 0.0)

    # -- numbers ------------------------------------------------------------------------------

    def test_acc(self, number: int) -> list[float]:
        """Test accuracies in percent, one a seed; none for a trial whose test stayed sealed."""
        return [scores.get("test_acc", math.nan) for scores in self.test.get(number, [])]

    def differences(self, number: int) -> list[float]:
        """Points of val accuracy above the default, one a seed that both were trained on."""
        return [a - b for a, b in zip(self.val_acc[number], self.val_acc[REFERENCE], strict=False)]

    def p_of(self, number: int) -> float:
        """One-sided p on val of "not better than the default", over all candidates and looks."""
        return p_value(self.differences(number), len(self.val_acc) - 1)

    @property
    def trainings(self) -> list[tuple[int, int, dict[str, float]]]:
        """(trial, seed, scores) of all, the dropped ones too; of test where it was opened."""
        return [
            (number, seed, {"val_acc": val, **test})
            for number, scores in self.val_acc.items()
            for seed, val, test in zip(
                self.seeds, scores, self.test.get(number) or repeat({}), strict=False
            )
        ]

    @property
    def nearest(self) -> int | None:
        """The candidate of the lowest p, of equals the highest mean; None where there is none."""
        others = [number for number, val in self.val_acc.items() if val and number != REFERENCE]
        return min(
            others,
            key=lambda number: (self.p_of(number), -fmean(self.differences(number)), number),
            default=None,
        )

    @property
    def undecided(self) -> int | None:
        """The candidate that may be better, which more seeds would tell; None where none may."""
        number = self.nearest if self.handed_out == REFERENCE else None
        return number if number and fmean(self.differences(number)) > 0 else None


def behind(seeds: int = 1) -> str:
    """What is behind a score of a search whose trials have so many seeds."""
    return "one run" if seeds == 1 else f"mean of {seeds} seeds"


def unconfirmed(seeds: int = 1) -> str:
    """What is said of such a score."""
    return f"{behind(seeds)}, {NOT_CONFIRMED}"


def one_line(note: str) -> str:
    """A note as it is kept."""
    return " ".join(note.split())


def mean_deviation(values: Sequence[float]) -> str:
    """`86.10 ± 0.42 % (n = 5)`, mean and sample standard deviation."""
    deviation = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{deviation} % (n = {len(values)})"
