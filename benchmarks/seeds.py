"""`python -m benchmarks.seeds`: what `--seeds-per-trial` gains a search, at as many epochs.

Over generated landscapes a search whose trials have one seed, and others whose trials have several,
are simulated with as many epochs. Told are the regret of what each hands out, unconfirmed and
confirmed, ± half of its 95 % interval (Student's t), its trials, and the paired differences from
the search of one seed.
"""

import argparse
import os
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks.search import JUDGING
from kd.config import TrainConfig
from tuning.replaying.generated import KINDS, Generated
from tuning.replaying.proving import prove
from tuning.replaying.repeats import in_processes
from tuning.replaying.simulate import simulate
from tuning.replaying.strategy import Plan
from tuning.replaying.summary import mean_of
from tuning.study.cube import FloatArray

FAR = 2**40
"""How far the seeds of one trial are apart, as in a search."""


class Averaged:
    """The curves of `source`, each the mean over so many `seeds`."""

    def __init__(self, source: Generated, seeds: int) -> None:
        self._source, self._seeds = source, seeds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def curve(self, config: TrainConfig, seed: int) -> FloatArray:
        """The mean of the trainings with `seed` and with others that follow from it."""
        each = [self._source.curve(config, seed + FAR * place) for place in range(self._seeds)]
        mean: FloatArray = np.mean(each, axis=0)
        return mean


class Found(NamedTuple):
    """The regret of what a search hands out, before and after it is confirmed; its trials."""

    searched: float
    confirmed: float
    trials: int


def search(kind: str, epochs_total: int, slots: int, seeds: int, seed: int) -> Found:
    """One search over the landscape of `seed`."""
    source = Generated(kind, seed, 27)
    plan = Plan(epochs_total=epochs_total, slots=slots, seeds=seeds)
    found = simulate(Averaged(source, seeds), plan, seed)
    proved = prove(source, found.records, seed)
    return Found(found.course.last.regret, proved.regret, len(found.records))


def main() -> None:
    """Print a table for each kind of landscapes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", nargs="+", choices=[*KINDS], default=["distillation", "cosine"])
    parser.add_argument("--trainings", nargs="+", type=int, default=[16, 64])
    parser.add_argument("--seeds", nargs="+", type=int, default=[2, 3])
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    repeats = range(JUDGING, JUDGING + asked.repeats)
    print(f"n = {len(repeats)} landscapes, seeds from {JUDGING}; {asked.slots} slots\n")
    print("| curves | trainings | seeds a trial | trials | regret | − one seed's | confirmed | − |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in asked.kind:
        for trainings in asked.trainings:
            alone: list[Found] = []
            for seeds in (1, *asked.seeds):
                work = partial(search, kind, 27 * trainings, asked.slots, seeds)
                found = list(in_processes(work, repeats, asked.jobs))
                alone = alone or found
                cells: list[object] = [kind, trainings, seeds]
                cells.append(f"{np.mean([one.trials for one in found]):.0f}")
                for name in ("searched", "confirmed"):
                    values, own = ([getattr(one, name) for one in each] for each in (found, alone))
                    difference = mean_of([a - b for a, b in zip(values, own, strict=True)])
                    cells += [mean_of(values), difference if seeds > 1 else ""]
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
