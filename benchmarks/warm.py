"""`python -m benchmarks.warm`: what a search gains from what searches of other cells found.

Over landscapes of `tuning.replaying.related`: two other cells are searched cold, then the new one
cold and warm, each by the same plan. `again` is a search that is told of an earlier one of its own
cell. Told are the epochs until the regret that the cold search ends with, by the mean over seeds
and by each pair, and the paired difference of the last regrets, at as many trials and at as many
epochs, ± half of its 95 % interval (Student's t).

Seeds as in `benchmarks.search`: those from `TUNING` on are for choosing constants, those from
`JUDGING` on for the figures that are told (`--judge`).
"""

import argparse
import math
import os
from collections.abc import Sequence
from functools import partial
from statistics import fmean, median

from benchmarks.search import JUDGING, TUNING
from tuning.replaying.related import Beside, again, beside
from tuning.replaying.repeats import in_processes
from tuning.replaying.strategy import Plan
from tuning.replaying.summary import mean_of

KINDS = ("distillation", "cosine")
"""Those whose best place is known, so that it can be shifted."""
AGAIN = "again"
SIGMAS = ("0", "0.1", "0.3", "inf", AGAIN)


def row(name: str, found: Sequence[Beside]) -> str:
    """A line of the table."""
    last = mean_of([pair.cold.last.regret for pair in found])
    spent = fmean(pair.cold.epochs for pair in found)
    crossed = _crossed(found, last.mean)
    until = "–" if crossed is None else f"{crossed:.0f} ({crossed / spent:.0%})"
    ratio = median(warm / max(cold, 1) for cold, warm in (pair.epochs for pair in found))
    trials = mean_of([pair.difference for pair in found])
    epochs = mean_of(
        [pair.warm.at(pair.cold.epochs).regret - pair.cold.last.regret for pair in found]
    )
    return f"| {name} | {last} | {spent:.0f} | {until} | {ratio:.2f} | {trials} | {epochs} |"


def _crossed(found: Sequence[Beside], level: float) -> float | None:
    """The epochs from which on the mean regret of the warm searches is at most `level`."""
    last = max(pair.warm.epochs for pair in found)
    reached: int | None = None
    for epochs in range(last + 1):
        if fmean(pair.warm.at(epochs).regret for pair in found) > level:
            reached = None
        elif reached is None:
            reached = epochs
    return reached


def main() -> None:
    """Print a table for each kind of landscapes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--sigma", nargs="+", default=list(SIGMAS))
    parser.add_argument("--trials", nargs="+", type=int, default=[16, 64])
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--judge", action="store_true", help="the seeds that nothing is chosen by")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    first = JUDGING if asked.judge else TUNING
    seeds = range(first, first + asked.repeats)

    from benchmarks.timing import header

    print(header("cpu"))
    print(f"n = {len(seeds)} seeds from {first}; {asked.slots} slots")
    for kind in asked.kind:
        for trials in asked.trials:
            plan = Plan(trials=trials, slots=asked.slots)
            print(f"\n{kind}, {trials} trials of at most {asked.epochs} epochs\n")
            print(
                "| σ | cold, last regret | its epochs | warm there, mean regret | pair, median "
                "| warm − cold, same trials | same epochs |\n|---|---|---|---|---|---|---|"
            )
            for sigma in asked.sigma:
                work = (
                    partial(again, kind, asked.epochs, plan)
                    if sigma == AGAIN
                    else partial(beside, kind, asked.epochs, plan, float(sigma))
                )
                found = list(in_processes(work, seeds, asked.jobs))
                name = "∞" if sigma != AGAIN and math.isinf(float(sigma)) else sigma
                print(row(name, found), flush=True)


if __name__ == "__main__":
    main()
