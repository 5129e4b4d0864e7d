"""A promoted winner of a sweep, and which of several is the best of its cell."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kd.config import TrainConfig

PROTOCOL = "kd.protocol."
"""How the tags begin that hold a protocol."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """One promoted winner.

    `score` is val accuracy in percent, measured under `protocol`; `trial` of `trials` in
    `sweep` won; `confirmed` says how the score was confirmed; `created` is seconds since the
    epoch.
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
            confirmed=tags["kd.confirmed"],
            protocol=tuple(protocol),
            config=TrainConfig.from_dict(json.loads(tags["kd.config"]), f"{cell} v{version}"),
        )


def winners(versions: Iterable[Best]) -> list[Best]:
    """Of every cell and protocol the highest score; the earlier version on a tie."""
    best: dict[tuple[str, tuple[tuple[str, str], ...]], Best] = {}
    for one in sorted(versions, key=lambda b: (-b.score, b.version)):
        best.setdefault((one.cell, one.protocol), one)
    return sorted(best.values(), key=lambda b: (b.cell, -b.config.epochs, -b.version))


def champion(versions: Sequence[Best]) -> Best:
    """The one version of a cell that stands for it.

    Scores are compared under equal protocols only. Between protocols no score decides: the
    longest training counts for most, then the protocol that was used last.
    """
    newest = max(versions, key=lambda b: (b.config.epochs, b.version))
    return winners(b for b in versions if b.protocol == newest.protocol)[0]
