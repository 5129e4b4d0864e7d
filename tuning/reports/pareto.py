"""What is shown of a search of several objectives: its Pareto set, and how that grew."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from tuning.records.findings import behind
from tuning.records.pareto import Member, front, members, objectives_of, volumes
from tuning.records.result import SweepResult
from tuning.reports.axis import Axis
from tuning.reports.charts import Chart
from tuning.reports.figures import Figure, style_of
from tuning.reports.sentences import of_trial
from tuning.reports.series import look
from tuning.reports.wording import count, percent, short, tip, trial_name, value_of
from tuning.study.objectives import VAL_ACC, Objective


class Shown(NamedTuple):
    """The Pareto set of sweeps of the same objectives, as a page shows it."""

    sentences: list[str]
    headings: list[str]
    rows: list[list[str]]
    figures: list[Figure]


def shown(results: Sequence[SweepResult]) -> Shown | None:
    """All of it; None for one objective, or where no trial completed in all of them."""
    asked = objectives_of(results)
    if len(asked) < 2 or not front(results):
        return None
    figures = [scatter(results, one) for one in asked if one.name != VAL_ACC.name]
    return Shown(said(results), *table(results), [*figures, *grown(results)])


def said(results: Sequence[SweepResult]) -> list[str]:
    """What the set is, how large its hypervolume is, and how one of it is handed out."""
    found, asked = front(results), objectives_of(results)
    if not found:
        return []
    words, seeds = [one.words for one in asked], results[0].sweep.settings.seeds_per_trial
    seen = "in one run" if seeds == 1 else f"the {behind(seeds)}"
    listed = f"{', '.join(words[:-1])} and {words[-1]}"
    completed = count(len(members(results)), "completed trial")
    sentences = [
        f"Pareto set: {len(found)} of {completed}. No other is as good in {listed} and better in "
        f"one of them, each {seen}."
    ]
    if grew := volumes(results):
        pairs = zip(asked, grew.reference, strict=True)
        reference = ", ".join(f"{one.words} {one.shown(value)}" for one, value in pairs)
        sentences.append(
            f"Hypervolume: {grew.last:.3f} of the box from the reference point to the best values "
            "of completed trials. The reference point, a tenth of the range behind the worst "
            f"values: {reference}."
        )
    if len(results) == 1:
        sentences.append(_handed_out(results[0], found))
    return sentences


def _handed_out(result: SweepResult, found: Sequence[Member]) -> str:
    """That val accuracy decides what is handed out, and how another one is."""
    best = result.best
    handed = f"{trial_name(best)} is" if best else "nothing is"
    others = [m.trial for m in found if m.trial is not best]
    other = min(others, key=lambda trial: trial.is_default, default=None)
    sentence = f"By val accuracy alone {handed} handed out"
    if other is None:
        return f"{sentence}."
    export, confirm = of_trial(result.sweep, other.number)
    raced = result.findings is not None and other.number in result.findings.val_acc
    prove = "" if other.is_default or raced else f"; to prove its val accuracy: {confirm}"
    return f"{sentence}. Another of the set, such as {trial_name(other)}: {export}{prove}"


def table(
    results: Sequence[SweepResult], *, searched: bool = True
) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: who, its values, and what was `searched` of its configuration."""
    asked, several = objectives_of(results), len(results) > 1
    names = dict.fromkeys(name for result in results for name in result.sweep.searched)
    names = names if searched else {}
    headings = ["sweep", "trial"] if several else ["trial"]
    headings += [one.words for one in asked]
    rows = []
    for member in front(results):
        sweep = results[member.sweep].sweep
        row = [sweep.name] if several else []
        row += [f"{member.trial.number}" + (" (default)" if member.trial.is_default else "")]
        row += [one.shown(value) for one, value in zip(asked, member.values, strict=True)]
        row += [value_of(member.trial, n) if n in sweep.searched else "–" for n in names]
        rows.append(row)
    return [*headings, *map(short, names)], rows


# -- pictures ---------------------------------------------------------------------------------


def scatter(results: Sequence[SweepResult], objective: Objective) -> Figure:
    """Val accuracy against another objective, of all completed trials."""
    asked = objectives_of(results)
    place = asked.index(objective)
    known = [m for m in members(results) if np.isfinite(m.values).all()]
    points = [(member.values[place], member.values[0]) for member in known]
    label = f"{objective.words} ({objective.unit})"
    chart = Chart(
        Axis.over(x for x, _ in points),
        Axis.of_accuracies(y for _, y in points),
        name=f"Val accuracy against {objective.words}",
        x_label=label,
        y_label="val accuracy (%)",
    )
    rising = sorted(points, key=lambda point: (point[0], -point[1]))
    tops = accumulate((y for _, y in rising), max)
    line = [(x, top) for (x, y), top in zip(rising, tops, strict=True) if y == top]
    chart.steps(line, chart.x.high, "front", "the best val accuracy at no more than that")
    for member in sorted(known, key=lambda member: member.best):
        _mark(chart, results, member, place)
    how = (
        "A shape is a sweep, as in the first table; small and faint is who is not in the Pareto set"
        if len(results) > 1
        else "A diamond is in the Pareto set, a star the one that is handed out, a square the "
        "paper's default, a small disc not in the set"
    )
    line_of = f"The line: the best val accuracy at no more {objective.words} than that."
    return Figure(
        chart.svg(), f"Completed trials. {how}. A number is that of a trial of the set. {line_of}"
    )


def _mark(chart: Chart, results: Sequence[SweepResult], member: Member, place: int) -> None:
    result = results[member.sweep]
    within = ", in the Pareto set" if member.best else ""
    value = objectives_of(results)[place].shown(member.values[place])
    words = f"{tip(member.trial)}, {value}{within}"
    x, y = member.values[place], member.values[0]
    if member.best:
        chart.label(x, y, str(member.trial.number))
    if len(results) > 1:
        style, shape = look(member.sweep)
        size, fill = (5.0, 1.0) if member.best else (2.6, 0.4)
        words = f"{result.sweep.name}, {words}"
        chart.dot(x, y, style, words, size=size, fill=fill, shape=shape)
        return
    style = style_of(result, member.trial)
    if style == "other" and member.best:
        style = "front"
    chart.dot(x, y, style, words, size=2.4 if style == "other" else 5)


def grown(results: Sequence[SweepResult]) -> list[Figure]:
    """The hypervolume over the epochs that were spent; none where there is none."""
    found = volumes(results)
    if found is None:
        return []
    end = max(sum(result.epochs_spent for result in results), found.epochs[-1])
    chart = Chart(
        Axis(0, end, whole=True),
        Axis(0, 1.05 * found.last or 1.0),
        name="Hypervolume of the Pareto set, over epochs spent",
        x_label="epochs spent",
        y_label="hypervolume",
    )
    points = list(zip(found.epochs, found.volumes, strict=True))
    chart.steps(points, end, "best", f"{found.last:.3f} at the end")
    of = " of all sweeps together" if len(results) > 1 else ""
    return [
        Figure(
            chart.svg(),
            f"The hypervolume of the Pareto set{of} by epochs trained, in parts of the box from "
            "the reference point (a tenth of the range behind the worst value of a completed trial "
            f"in each objective) to the best values. The highest val accuracy is "
            f"{percent(found.best[0])}.",
        )
    ]
