"""Which charts the page shows of a sweep, from its numbers, and the sentence under each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from search_spaces import Choice, Range
from tuning.records.progress import BestSoFar, curve_limits, over_epochs, over_minutes
from tuning.records.result import SweepResult
from tuning.reports.axis import Axis
from tuning.reports.charts import Chart, bars, parallel
from tuning.reports.importance import Importance
from tuning.reports.wording import count, duration, percent, short, tip
from tuning.study.trials import TrialRecord


@dataclass(frozen=True)
class Figure:
    """A chart and the sentence under it."""

    chart: Markup
    caption: str


# -- progress ---------------------------------------------------------------------------------


def curves(result: SweepResult) -> Figure:
    """Validation curves of all trials."""
    last = result.sweep.epochs
    chart = Chart(
        Axis(1 - 0.03 * last if last > 1 else 0.5, last if last > 1 else 1.5, whole=True),
        Axis(*curve_limits(result)),
        name="Validation curves of all trials",
        x_label="epoch",
        y_label="val accuracy (%)",
    )
    rungs = [rung for rung in result.sweep.rungs if rung < result.sweep.epochs]
    for rung in rungs:
        chart.rung(rung)
    for trial in sorted(result.trials, key=lambda t: _prominence(result, t)):
        if not trial.curve:
            continue
        style = style_of(result, trial)
        chart.line(sorted(trial.curve.items()), style, tip(trial))
        # Of a single epoch there is no line to see.
        if style != "other" or len(trial.curve) == 1:
            chart.dot(trial.epoch, trial.score, end_of(trial, style), tip(trial), size=END[style])
    return Figure(chart.svg(), " ".join(_legend(result, rungs)))


def _legend(result: SweepResult, rungs: list[int]) -> Iterator[str]:
    """What the marks of the curves say, as far as there are any."""
    if any(trial.curve for trial in result.trials):
        yield (
            "Every line is a trial: solid blue to a star the best, dashed orange to a square the "
            "paper's default."
        )
    else:
        yield "No trial has told of an epoch yet."
    if any(trial.curve for trial in result.of("stopped")):
        yield "A triangle ends one that was stopped early."
    if any(trial.curve for trial in result.of("failed")):
        yield "A cross ends one that failed."
    if rungs:
        yield f"Vertical lines: trials may stop after epoch {', '.join(map(str, rungs))}."


def best_so_far(result: SweepResult) -> list[Figure]:
    """The best val accuracy so far over time and over epochs; none if no trial completed."""
    minutes, epochs = over_minutes(result), over_epochs(result)
    if minutes is None or epochs is None:
        return []
    return [
        Figure(
            _rising(
                minutes,
                "Best val accuracy so far, over time",
                "minutes",
                lambda passed: duration(60 * passed),
            ),
            "The best completed trial so far, by wall time without pauses. What lies below the "
            "axis is drawn at its edge.",
        ),
        Figure(
            _rising(
                epochs,
                "Best val accuracy so far, over epochs",
                "epochs spent",
                lambda spent: count(round(spent), "epoch"),
            ),
            "The same by epochs trained, which other machines can be compared by.",
        ),
    ]


def _rising(so_far: BestSoFar, name: str, x_label: str, say: Callable[[float], str]) -> Markup:
    chart = Chart(
        Axis(0, max(so_far.end, 1e-9)),
        Axis(*so_far.limits),
        name=name,
        x_label=x_label,
        y_label="best val accuracy (%)",
    )
    chart.steps(so_far.steps, so_far.end, "best", percent(so_far.steps[-1][1]))
    for place, score in so_far.steps:
        chart.dot(place, score, "best", f"{percent(score)} after {say(place)}")
    if so_far.default is not None:
        chart.level(so_far.default, "paper", f"the paper's default, {percent(so_far.default)}")
    return chart.svg()


# -- hyperparameters --------------------------------------------------------------------------


def slice_of(result: SweepResult, name: str) -> Figure:
    """Val accuracy against one hyperparameter, of the trials that the search chose it for."""
    chosen = result.sweep.chosen
    done = [t for t in result.of("completed") if chosen(t, name) is not None]
    x = axis_of(result, name)
    scores = [t.score or 0.0 for t in done]
    label = short(name)
    chart = Chart(
        x,
        Axis.of_accuracies(scores),
        name=f"Val accuracy against {label}",
        x_label=label + (" (log)" if x.log else ""),
        y_label="val accuracy (%)",
        width=310,
        height=235,
    )
    for trial in result.of("stopped", "failed"):
        if (value := chosen(trial, name)) is not None:
            chart.tick(value, trial.state, tip(trial))
    for trial in sorted(done, key=lambda t: _prominence(result, t)):
        chart.dot(chosen(trial, name), trial.score, style_of(result, trial), tip(trial))
    return Figure(chart.svg(), label)


def pair_of(result: SweepResult, across: str, up: str) -> Figure:
    """Two hyperparameters against each other; the fuller the colour the better the trial.

    Of the trials that the search chose both for.
    """
    x, y = axis_of(result, across), axis_of(result, up)
    chart = Chart(
        x,
        y,
        name=f"{short(up)} against {short(across)}",
        x_label=short(across) + (" (log)" if x.log else ""),
        y_label=short(up) + (" (log)" if y.log else ""),
        width=310,
        height=250,
    )

    def place_of(trial: TrialRecord) -> tuple[Any, Any]:
        return result.sweep.chosen(trial, across), result.sweep.chosen(trial, up)

    for trial in result.of("stopped", "failed"):
        if None not in (place := place_of(trial)):
            chart.dot(*place, trial.state, tip(trial), size=2.4)
    for trial, rank in _ranked(result):
        if None in (place := place_of(trial)):
            continue
        style = style_of(result, trial)
        if style == "other":
            chart.dot(*place, "ranked", tip(trial), size=5, fill=0.08 + 0.92 * rank)
        else:
            chart.dot(*place, style, tip(trial), size=4.5)
    return Figure(chart.svg(), f"{short(up)} against {short(across)}")


def coordinates(result: SweepResult) -> Markup:
    """All searched hyperparameters and the val accuracy of every completed trial."""
    names, done = result.sweep.searched, result.of("completed")
    axes = [(short(name), axis_of(result, name)) for name in names]
    axes.append(("val acc (%)", Axis.of_accuracies(t.score or 0.0 for t in done)))
    lines = []
    for trial, rank in _ranked(result):
        values = [*(result.sweep.chosen(trial, n) for n in names), trial.score]
        style = style_of(result, trial)
        lines.append((values, style, 1.0 if style != "other" else 0.15 + 0.7 * rank, tip(trial)))
    return parallel(axes, lines, name="Parallel coordinates of the completed trials")


def axis_of(result: SweepResult, name: str) -> Axis:
    """The axis of a hyperparameter: all that the search may choose, and all that it chose."""
    domain = result.sweep.searched[name]
    chosen = (result.sweep.chosen(trial, name) for trial in result.trials)
    seen = [value for value in chosen if value is not None]
    if isinstance(domain, Choice):
        return Axis(categories=tuple(dict.fromkeys(map(str, [*domain.values, *seen]))))
    log, whole = (domain.log, domain.integer) if isinstance(domain, Range) else (False, False)
    return Axis.over([domain.low, domain.high, *seen], log=log, whole=whole)


def importances(result: SweepResult, found: Importance) -> Figure:
    """The importance of each hyperparameter, and how far it can be trusted."""
    rows = [(short(s.name), s.share, s.low, s.high) for s in found.shares]
    words = (
        f"Share of the variance of val accuracy at epoch {found.epoch} that each hyperparameter "
        f"explains (functional ANOVA over the n = {found.n} trials that reached it). Bar: mean; "
        "line: middle 80 % when the trials are resampled. Where lines overlap, the order is not "
        "known."
    )
    if any(trial.epoch < found.epoch for trial in result.of("stopped")):
        words += " Trials stopped before that are left out, which hides what they were stopped for."
    if any(domain.when for domain in result.sweep.searched.values()):
        words += " One that a trial did not search counts there with any of its values."
    words += (
        " optuna-dashboard shows other shares of the same study: it asks what sets a tenth of the "
        "completed trials apart from the rest (PED-ANOVA), where this chart explains all "
        "differences, and those on the scale that a value was drawn on."
    )
    return Figure(bars(rows, name="Importance of each hyperparameter"), words)


# -- how a trial is drawn ---------------------------------------------------------------------


def style_of(result: SweepResult, trial: TrialRecord) -> str:
    """The class that draws a trial."""
    if trial.is_default:
        return "paper"
    if trial is result.best:
        return "best"
    return "other" if trial.state in ("completed", "running") else trial.state


END = {"best": 5, "paper": 4, "other": 2.2, "stopped": 2.4, "failed": 4}
"""How large the mark at a curve's end is."""


def end_of(trial: TrialRecord, style: str) -> str:
    """The class that draws a curve's end: the default's tells too that it was stopped or failed."""
    return trial.state if trial.state in ("stopped", "failed") else style


def _prominence(result: SweepResult, trial: TrialRecord) -> int:
    """The order of drawing: the best comes last, on top."""
    return ["failed", "stopped", "other", "paper", "best"].index(style_of(result, trial))


def _ranked(result: SweepResult) -> Iterator[tuple[TrialRecord, float]]:
    """The completed trials from worst to best, each with its rank in 0 … 1; equal ones share it."""
    done = sorted(result.of("completed"), key=lambda t: t.score or 0.0)
    levels = sorted({trial.score or 0.0 for trial in done})
    for trial in done:
        place = levels.index(trial.score or 0.0)
        yield trial, place / (len(levels) - 1) if len(levels) > 1 else 1.0
