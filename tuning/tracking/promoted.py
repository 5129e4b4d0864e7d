"""A promoted winner of a sweep, and which of several is the best of its cell."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kd.config import TrainConfig
from tuning.records.findings import NOT_CONFIRMED, UNCONFIRMED

PROTOCOL = "kd.protocol."
"""How the tags begin that hold a protocol."""
CONFIRMED = "kd.confirmed"
"""The tag, of a version and of its trial's run, that says how its score was confirmed."""
SUPERSEDED = "kd.superseded"
"""The tag of a version in whose place its sweep hands out another one."""

TOLD = "kd.told"
"""The tag of a confirmed version that says how often test was opened by when all was told of it."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """One promoted winner.

    `score` is val accuracy in percent, measured under `protocol`: of one run, or the mean over the
    seeds of a trial or of a confirmation. `trial` of `trials` in `sweep` won; `confirmed` says how
    that was confirmed; `superseded` that the same sweep has come to hand out another trial;
    `told` after how many openings of the test set all that was found was written, its seeds too;
    `created` is seconds since the epoch.
    """

    cell: str
    version: int
    created: float
    score: float
    sweep: str
    trial: int
    trials: int
    confirmed: str
    protocol: tuple[tuple[str, str], ...]
    config: TrainConfig
    superseded: bool = False
    told: int = 0

    @property
    def is_confirmed(self) -> bool:
        """Whether its score is more than what a search found."""
        return is_proof(self.confirmed)

    @classmethod
    def from_tags(cls, cell: str, version: int, created: float, tags: dict[str, str]) -> "Best":
        """Read what `promote` wrote."""
        protocol = sorted(
            (k.removeprefix(PROTOCOL), v) for k, v in tags.items() if k.startswith(PROTOCOL)
        )
        return cls(
            cell=cell,
            version=version,
            created=created,
            score=float(tags["kd.score"]),
            sweep=tags["kd.sweep"],
            trial=int(tags["kd.trial"]),
            trials=int(tags["kd.trials"]),
            # As it was once said.
            confirmed=UNCONFIRMED if tags[CONFIRMED] == "one run" else tags[CONFIRMED],
            protocol=tuple(protocol),
            config=TrainConfig.from_dict(json.loads(tags["kd.config"]), f"{cell} v{version}"),
            superseded=SUPERSEDED in tags,
            told=int(tags.get(TOLD, 0)),
        )


def is_proof(confirmed: str) -> bool:
    """Whether a confirmation stands behind what the tag `CONFIRMED` says."""
    return not confirmed.endswith(NOT_CONFIRMED)


def winners(versions: Iterable[Best]) -> list[Best]:
    """Of every cell and protocol the best: a confirmed one, then the highest score.

    A score of one run is the highest of many, so it says less than a lower mean over new seeds.
    The earlier version on a tie.
    """
    best: dict[tuple[str, tuple[tuple[str, str], ...]], Best] = {}
    for one in sorted(versions, key=lambda b: (not b.is_confirmed, -b.score, b.version)):
        if not one.superseded:
            best.setdefault((one.cell, one.protocol), one)
    return sorted(best.values(), key=lambda b: (b.cell, -b.config.epochs, -b.version))


def champion(versions: Sequence[Best]) -> Best:
    """The one version of a cell that stands for it.

    Scores are compared under equal protocols only. Between protocols no score decides: the
    longest training counts for most, then the protocol that was used last.
    """
    newest = max(versions, key=lambda b: (b.config.epochs, b.version))
    return winners(b for b in versions if b.protocol == newest.protocol)[0]
