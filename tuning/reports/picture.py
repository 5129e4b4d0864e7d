"""The PNG of a sweep, by matplotlib: every trial's curve, and the best so far over time."""

import io
from typing import TYPE_CHECKING, Any

from tuning.records.findings import mean_deviation
from tuning.records.progress import curve_limits, over_minutes
from tuning.records.result import SweepResult
from tuning.reports.wording import cut, trial_name
from tuning.study.trials import TrialRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which stays apart for colour-blind readers; grey recedes.
BEST, DEFAULT, FAILED, OTHER = "#0072B2", "#D55E00", "#CC79A7", "#8A8F98"
INK, RULE = "#22262B", "#D9DCE1"


def draw(result: SweepResult, mark: str = "") -> bytes:
    """The picture of a sweep as PNG, 1600 × 700 pixels, which bears the stamp `mark`."""
    picture = io.BytesIO()
    figure_of(result).savefig(picture, format="png", metadata={"Stamp": mark})
    return picture.getvalue()


def figure_of(result: SweepResult) -> "Figure":
    """The picture as matplotlib holds it: the curves to the left, the best so far to the right."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    spaced = ConstrainedLayoutEngine(wspace=0.06)
    figure = Figure(figsize=(10.0, 4.375), dpi=160, layout=spaced, facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(RULE)
        axes.tick_params(colors=INK, labelsize=9, length=3, color=RULE)
        axes.grid(axis="y", color=RULE, linewidth=0.5, alpha=0.7)
        axes.set_axisbelow(True)
    _curves(left, result)
    _best_so_far(right, result)
    return figure


def _curves(axes: Any, result: SweepResult) -> None:
    best, default = result.best, result.default
    how = "handed out" if result.findings else "best"
    axes.set_ylim(*curve_limits(result))
    axes.set_xlim(0.8 if result.sweep.epochs > 1 else 0.5, result.sweep.epochs * 1.015 + 0.1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch", color=INK)
    axes.set_ylabel("val accuracy (%)", color=INK)
    _rungs(axes, result)
    faint = max(0.25, min(0.75, 12 / max(len(result.trials), 1)))
    for trial in result.trials:
        if trial not in (best, default) and trial.curve:
            _line(axes, trial, color=OTHER, linewidth=0.9, alpha=faint, zorder=2)
    stopped, failed = result.of("stopped"), result.of("failed")
    _ends(axes, stopped, "o", OTHER, f"stopped early ({len(stopped)})", size=13)
    _ends(axes, failed, "X", FAILED, f"failed ({len(failed)})", size=26)
    weight = 2.4 if result.sweep.epochs <= 60 else 1.6
    if default and default.curve:
        name = (f"{how}: " if default is best else "") + trial_name(default)
        dashes = {"linestyle": (0, (4, 1.5)), "color": DEFAULT, "linewidth": weight}
        _line(axes, default, label=name + _score(result, default), **dashes)
    if best and best is not default:
        name = f"{how}: {trial_name(best)}{_score(result, best)}"
        _line(axes, best, label=name, color=BEST, linewidth=weight)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", fontsize=8.5, framealpha=0.9, edgecolor="none")
    # A folder's name may hold anything, `$` too, which would be a formula.
    title = {"loc": "left", "fontsize": 10, "color": INK, "pad": 16, "parse_math": False}
    axes.set_title(cut(result.sweep.cell, 70), **title)


def _score(result: SweepResult, trial: TrialRecord) -> str:
    """The score of the curve that is drawn, and beside it what new seeds made of it."""
    drawn = f", {trial.score:.1f} %" if trial.state == "completed" else f", {trial.state}"
    if not result.is_confirmed(trial):
        return drawn
    return f"{drawn} in the search\nnew seeds: {mean_deviation(result.scores(trial))}"


def _rungs(axes: Any, result: SweepResult) -> None:
    labelled = -float("inf")
    for rung in (rung for rung in result.sweep.rungs if rung < result.sweep.epochs):
        axes.axvline(rung, color=RULE, linewidth=1.0, zorder=0)
        if rung - labelled < 0.06 * result.sweep.epochs:
            continue
        name = f"rung {rung}" if labelled < 0 else str(rung)
        place = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text(rung, 1.005, name, fontsize=7.5, color=OTHER, **place)
        labelled = rung


def _line(axes: Any, trial: TrialRecord, **style: Any) -> None:
    epochs = sorted(trial.curve)
    marker = {"marker": "o", "markersize": 3.5} if len(epochs) == 1 else {}
    axes.plot(epochs, [trial.curve[e] for e in epochs], **{"zorder": 4, **style, **marker})


def _ends(
    axes: Any, trials: list[TrialRecord], marker: str, color: str, label: str, size: float
) -> None:
    ends = [(trial.epoch, trial.score) for trial in trials if trial.curve]
    if ends:
        axes.scatter(
            *zip(*ends, strict=True), s=size, marker=marker, color=color, label=label,
            edgecolors="white", linewidths=0.5, zorder=3,
        )  # fmt: skip


def _best_so_far(axes: Any, result: SweepResult) -> None:
    axes.set_xlabel("minutes", color=INK)
    axes.set_ylabel("val accuracy (%)", color=INK)
    axes.set_title("best so far", loc="left", fontsize=10, color=INK, pad=16)
    so_far = over_minutes(result)
    if so_far is None:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "no trial completed", transform=axes.transAxes, ha="center", color=OTHER
        )
        return
    minutes, scores = (list(values) for values in zip(*so_far.steps, strict=True))
    course = [*scores, scores[-1]]
    axes.step([*minutes, so_far.end], course, where="post", color=BEST, linewidth=2.4, zorder=3)
    axes.scatter(minutes, scores, s=22, color=BEST, zorder=4)
    others = {"s": 16, "color": OTHER, "alpha": 0.7, "linewidths": 0, "zorder": 2}
    axes.scatter(*zip(*so_far.points, strict=True), **others)
    if so_far.default is not None:
        dashes = {"linestyle": (0, (4, 1.5)), "color": DEFAULT, "linewidth": 1.6, "zorder": 1}
        axes.axhline(so_far.default, **dashes)
        _label(axes, "the paper's default", so_far.default, DEFAULT, below=True)
    _label(axes, f"{scores[-1]:.1f} %", scores[-1], BEST, below=False)
    axes.set_ylim(*so_far.limits)
    axes.set_xlim(0, so_far.end * 1.03 or 1.0)


def _label(axes: Any, words: str, level: float, color: str, *, below: bool) -> None:
    place = {"ha": "right", "va": "top" if below else "bottom", "textcoords": "offset points"}
    axes.annotate(
        words, (1, level), xytext=(-2, -5 if below else 5), xycoords=axes.get_yaxis_transform(),
        fontsize=8.5, color=color, **place,
    )  # fmt: skip
