"""What a search begins with beside the paper's default: what other searches found.

It is kept in the sweep's folder, so that a resumed sweep, or one that is repeated from there,
begins with the same, whatever has been found since.
"""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kd.config import Section, TrainConfig, parse
from kd.errors import UserError
from kd.files import replace_file
from kd.text import as_json
from search_spaces import Space
from tuning.study.drawing import distribution

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FILE = "warm_start.json"
WARM = "warm"
"""The attribute of a study that says that there is such a file."""
AUTO, NONE = "auto", "none"
"""What a sweep may be asked for beside the name of another one."""


@dataclass(frozen=True, kw_only=True)
class First(Section):
    """A configuration that is tried among the first trials.

    `values` are named as by `Space.parameters`; `source` is what a table calls the cell or the
    sweep that it comes from, and `about` says more of it.
    """

    values: dict[str, Any]
    source: str
    about: str


@dataclass(frozen=True, kw_only=True)
class Told(Section):
    """A trial of an earlier sweep of the same cell: its place in the space, and its curve.

    `curve` maps a 1-based epoch to val accuracy in percent, as of a `TrialRecord`.
    """

    sweep: str
    trial: int
    values: dict[str, Any]
    curve: dict[int, float]

    def __post_init__(self) -> None:
        scores = self.curve.values()
        if not self.curve or min(self.curve) < 1 or not all(map(math.isfinite, scores)):
            raise UserError(f"trial {self.trial} of {self.sweep} has no curve.")

    def frozen(self, space: Space) -> "FrozenTrial":
        """As Optuna's samplers read it; UserError unless it is a draw from `space`."""
        from optuna.trial import TrialState, create_trial

        domains = dict(space.parameters())
        try:
            distributions = {name: distribution(domains[name]) for name in self.values}
            return create_trial(
                state=TrialState.PRUNED,
                params=self.values,
                distributions=distributions,
                intermediate_values=self.curve,
            )
        except (KeyError, ValueError, TypeError):
            raise UserError(f"trial {self.trial} of {self.sweep} is of another space.") from None


@dataclass(frozen=True, kw_only=True)
class WarmStart(Section):
    """The `first` trials after the paper's default, in order, and what the sampler is `told` of.

    Told trials are no trials of the sweep; the sampler learns from them as from its own. The first
    ones are trained to their end, as the default is (`tuning.study.stopping`). `known` says what
    the best came to that is told and would be the same training again; "" where there is none.
    """

    first: tuple[First, ...] = ()
    told: tuple[Told, ...] = ()
    known: str = ""

    def source(self, number: int) -> str:
        """Where the configuration of that trial comes from; "" where it was drawn."""
        return self.first[number - 1].source if 1 <= number <= len(self.first) else ""

    def sweeps(self) -> Mapping[str, int]:
        """The sweeps that trials are told of, and how many of each."""
        found: dict[str, int] = {}
        for told in self.told:
            found[told.sweep] = found.get(told.sweep, 0) + 1
        return found

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """What the sweep in `folder` began with; None if nothing was kept; UserError if damaged."""
        path = folder / FILE
        if not path.exists():
            return None
        with suppress(OSError, ValueError, RecursionError, UserError):
            plain = json.loads(path.read_bytes())
            if isinstance(plain, dict):
                return parse(cls, plain, str(path))
        raise UserError(f"{path} is damaged; restore a copy of it, or start a new sweep.")

    def save(self, folder: Path) -> None:
        """Write it into the sweep's folder."""
        content = (as_json(asdict(self)) + "\n").encode()
        replace_file(folder / FILE, content, None)


COLD = WarmStart()
"""Nothing."""


def check_values(warm: WarmStart, space: Space, base: TrainConfig, folder: Path) -> WarmStart:
    """`warm`, which was kept in `folder`; UserError unless its values are draws from `space`."""
    names = dict(space.parameters())
    try:
        for values in [one.values for one in warm.first] + [one.values for one in warm.told]:
            for name, value in values.items():
                if names[name].nearest(value) != value:
                    raise ValueError
            space.apply(base, dict(values))
    except (UserError, TypeError, ValueError, KeyError):
        raise UserError(
            f"{folder / FILE} is damaged; restore a copy of it, or start a new sweep."
        ) from None
    return warm
