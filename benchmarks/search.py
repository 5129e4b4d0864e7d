"""`python -m benchmarks.search`: which search finds more, at equal budgets of epochs.

All searches of `benchmarks.rivals` see the same landscapes, curves and slots: the generated kinds
of `tuning.replaying.generated`, or the recorded sweeps that are given. A budget of N trials is N
times the epochs of a whole one, which a search may share among as many trials as it likes; where
there are more slots than that, one without early stopping completes few of those it began.

Seeds from `TUNING` on are for choosing constants of a search; seeds from `JUDGING` on are for the
figures that are told (`--judge`), and nothing is chosen by them. Of two searches one is called
better where the 95 % interval of their paired differences excludes 0 (Student's t), and both are
called equal where it lies within `MARGIN`.
"""

import argparse
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.rivals import RANDOM, RIVALS, searched
from tuning.replaying.generated import KINDS
from tuning.replaying.proving import Proved, prove
from tuning.replaying.recorded import Recorded
from tuning.replaying.repeats import Drawn, Kept, in_processes
from tuning.replaying.summary import mean_of

MARGIN = 0.2
"""Points of accuracy; a smaller difference is none that anybody would act on."""
TUNING, JUDGING = 0, 2000
"""The first seeds for choosing and for judging; what was chosen on is never judged on."""
SLOTS = (2, 8, 64)
BUDGETS = (16, 64, 256)
"""In whole trials."""
SHARES = tuple(n / 40 for n in range(41))
"""Of a budget: where the picture shows the regret."""
COLORS = ("#0072B2", "#8A8F98", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, as in `tuning.reports.picture`; grey for random search."""
INK, RULE = "#22262B", "#D9DCE1"
Cell = tuple[int, int]
"""Slots, and the budget in trials."""


@dataclass(frozen=True)
class Judged:
    """What one seed gives: for each cell and search the regrets, in points, at `SHARES`.

    `proved` is what each hands out after it was confirmed.
    """

    regrets: Mapping[tuple[Cell, str], list[float]]
    proved: Mapping[tuple[Cell, str], Proved]


def judge(sources: Drawn | Kept, cells: Sequence[Cell], names: Sequence[str], seed: int) -> Judged:
    """Every search in every cell on the curves of one seed."""
    source = sources.source(seed)
    regrets: dict[tuple[Cell, str], list[float]] = {}
    proved: dict[tuple[Cell, str], Proved] = {}
    for slots, trials in cells:
        budget = trials * source.base.epochs
        for name in names:
            went = searched(name, source, budget=budget, slots=slots, seed=seed)
            assert went.course.epochs <= budget
            key = (slots, trials), name
            regrets[key] = [went.course.at(budget * part).regret for part in SHARES]
            proved[key] = prove(source, went.records, seed)
    return Judged(regrets, proved)


# -- told ------------------------------------------------------------------------------------------


def tables(found: Sequence[Judged], cells: Sequence[Cell], names: Sequence[str]) -> str:
    """Markdown: what each search hands out in each cell, after its budget and after confirming."""
    alone = {cell: _lasts(found, cell, names) for cell in cells}
    proved = {cell: _proved(found, cell, names) for cell in cells}
    after = {cell: _against_best(proved[cell]) for cell in cells}
    for cell in cells:
        for name in names:
            costs = [judged.proved[cell, name].trainings for judged in found]
            after[cell][name] += f", {statistics.fmean(costs):.0f}"
    sections = {
        "regret after the budget": {cell: _against_best(alone[cell]) for cell in cells},
        "regret after confirming too, and trainings that this took": after,
    }
    if RANDOM in names:
        least = "share of the budget until its mean regret is random search's at the end"
        sections[least] = {cell: _shares(found, cell, names) for cell in cells}
    return "\n\n".join(_table(*section, names) for section in sections.items())


def _table(title: str, columns: Mapping[Cell, Mapping[str, str]], names: Sequence[str]) -> str:
    heads = [f"{trials} trials, {slots} slots" for slots, trials in columns]
    lines = [f"| {title} | " + " | ".join(heads) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        lines.append(f"| {name} | " + " | ".join(c[name] for c in columns.values()) + " |")
    return "\n".join(lines)


def _lasts(found: Sequence[Judged], cell: Cell, names: Sequence[str]) -> dict[str, list[float]]:
    return {name: [judged.regrets[cell, name][-1] for judged in found] for name in names}


def _proved(found: Sequence[Judged], cell: Cell, names: Sequence[str]) -> dict[str, list[float]]:
    return {name: [judged.proved[cell, name].regret for judged in found] for name in names}


def _against_best(regrets: Mapping[str, Sequence[float]]) -> dict[str, str]:
    best = min(regrets, key=lambda name: statistics.fmean(regrets[name]))
    column = {best: f"**{mean_of(regrets[best])}**"}
    for name, own in regrets.items():
        if name == best:
            continue
        away = mean_of([a - b for a, b in zip(own, regrets[best], strict=True)])
        half = float("inf") if away.half is None else away.half
        sign = "=" if abs(away.mean) + half < MARGIN else ">" if away.mean > half else "?"
        column[name] = f"{statistics.fmean(own):.2f} ({sign} {away.mean:+.2f} ± {half:.2f})"
    return column


def _shares(found: Sequence[Judged], cell: Cell, names: Sequence[str]) -> dict[str, str]:
    goal = statistics.fmean(_lasts(found, cell, (RANDOM,))[RANDOM])
    column = {}
    for name in names:
        means = _means(found, cell, name)
        above = [part for part, mean in zip(SHARES, means, strict=True) if mean > goal]
        later = [part for part in SHARES if not above or part > above[-1]]
        column[name] = f"{100 * later[0]:.0f} %" if later else "not reached"
    return column


def _means(found: Sequence[Judged], cell: Cell, name: str) -> list[float]:
    courses = zip(*(judged.regrets[cell, name] for judged in found), strict=True)
    return [statistics.fmean(values) for values in courses]


def draw(found: Mapping[str, Sequence[Judged]], cell: Cell, names: Sequence[str]) -> Any:
    """The mean regret over the epochs of one cell, an axis for each kind of curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 2.6 * -(-len(found) // 2)), dpi=160, layout="constrained")
    rows = figure.subplots(-(-len(found) // 2), min(len(found), 2), squeeze=False)
    slots, trials = cell
    for axes, (kind, judged) in zip(rows.flat, found.items(), strict=False):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(RULE)
        axes.tick_params(colors=INK, labelsize=9, length=3, color=RULE)
        axes.grid(axis="y", color=RULE, linewidth=0.5, alpha=0.7)
        axes.set_title(kind, loc="left", fontsize=10, color=INK, parse_math=False)
        for name, color in zip(names, COLORS, strict=False):
            means = _means(judged, cell, name)
            axes.step(
                [trials * part for part in SHARES], means, where="post", color=color, label=name,
                linewidth=2.4 if name == names[0] else 1.4,
            )  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.set_ylabel("regret (points)", color=INK)
        axes.set_xlabel(f"epochs spent, in whole trials ({slots} slots)", color=INK)
    lines = rows.flat[0].get_legend_handles_labels()
    for axes in rows.flat[len(found) :]:
        axes.set_axis_off()
    # In an axis of its own, where there is one.
    rows.flat[len(found) % rows.size].legend(*lines, fontsize=8, framealpha=0.9, edgecolor="none")
    return figure


def main() -> None:
    """Print a table for each kind of curves, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", type=Path, help="recorded sweeps of one cell")
    parser.add_argument("--kind", nargs="+", choices=tuple(KINDS), default=list(KINDS))
    parser.add_argument("--search", nargs="+", choices=tuple(RIVALS), default=list(RIVALS))
    parser.add_argument("--slots", nargs="+", type=int, default=SLOTS)
    parser.add_argument("--trials", nargs="+", type=int, default=BUDGETS)
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument(
        "--judge",
        nargs="?",
        type=int,
        const=JUDGING,
        metavar="SEED",
        help=f"the seeds that nothing is chosen by, from {JUDGING} on or a later one",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("-o", "--output", type=Path, help="a PNG of the regret over epochs")
    asked = parser.parse_args()
    if asked.judge is not None and asked.judge < JUDGING:
        parser.error(f"seeds below {JUDGING} were looked at; judge from there on")
    if asked.judge is None and asked.repeats > JUDGING - TUNING:
        parser.error(f"at most {JUDGING - TUNING} repeats, or the seeds for judging are touched")
    cells = [(slots, trials) for trials in asked.trials for slots in asked.slots]
    first = TUNING if asked.judge is None else asked.judge
    seeds = range(first, first + asked.repeats)
    kinds = asked.kind if not asked.tables else []
    sources: list[Drawn | Kept] = [Drawn(kind, asked.epochs) for kind in kinds]
    sources += [Kept(Recorded(asked.tables))] if asked.tables else []

    from benchmarks.timing import header

    print(header("cpu"))
    print(
        f"n = {len(seeds)} seeds from {first}; regret in points of accuracy after the whole "
        f"budget, ± half of its 95 % interval; in brackets the paired difference from the best: > "
        f"worse, = within {MARGIN}, ? neither."
    )
    found: dict[str, list[Judged]] = {}
    for source in sources:
        began = time.monotonic()
        work = partial(judge, source, cells, asked.search)
        found[source.name] = list(in_processes(work, seeds, asked.jobs))
        print(f"\n{source.name}, trials of {source.epochs} epochs\n")
        print(tables(found[source.name], cells, asked.search), flush=True)
        print(f"\n{time.monotonic() - began:.0f} s", flush=True)
    if asked.output:
        shown = min(cells, key=lambda cell: (cell[1] != max(asked.trials), abs(cell[0] - 8)))
        draw(found, shown, asked.search).savefig(asked.output)
        print(f"\n{asked.output}: {shown[1]} trials, {shown[0]} slots")


if __name__ == "__main__":
    main()
