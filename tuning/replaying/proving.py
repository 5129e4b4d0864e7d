"""What a simulated search hands out once it is confirmed, by the race of a real confirmation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kd.config import TrainConfig
from tuning.replaying.curves import Curves
from tuning.study.race import SEEDS, TOP, race
from tuning.study.trials import REFERENCE, TrialRecord

FIRST = 1_000_000
"""The first seed of a confirmation, above those of all repeats: nothing is chosen by its curves."""


@dataclass(frozen=True, kw_only=True)
class Proved:
    """What is handed out in the end: `trial`'s configuration, the default's where none is better.

    `regret` is what its truth lacks of the best, in points; `trainings` is how many whole ones it
    took to decide.
    """

    trial: int
    regret: float
    trainings: int


def prove(source: Curves, records: Sequence[TrialRecord], seed: int) -> Proved:
    """Let the best completed trials race with the default, as `tuning.confirm` does.

    Args:
        source: the curves that the search was simulated over.
        records: its trials.
        seed: the repeat's; another one trains with other seeds.
    """
    done = [t for t in records if t.state == "completed" and t.number != REFERENCE]
    configs = {REFERENCE: source.base}
    for trial in sorted(done, key=lambda t: (-(t.score or 0.0), t.number)):
        config = TrainConfig.from_dict(trial.config)
        if len(configs) <= TOP and config not in configs.values():
            configs[trial.number] = config
    scores: dict[int, list[float | None]] = {number: [] for number in configs}
    rivals = [number for number in configs if number != REFERENCE]
    trainings = 0
    while rivals and (racing := race(rivals, scores, SEEDS).racing):
        for number in racing:
            place = len(scores[number])
            last = float(source.curve(configs[number], FIRST * (place + 1) + seed)[-1])
            scores[number].append(last if math.isfinite(last) else None)
            trainings += 1
    winner = race(rivals, scores, SEEDS).winner
    regret = source.best() - source.truth(configs[winner])
    return Proved(trial=winner, regret=regret, trainings=trainings)
