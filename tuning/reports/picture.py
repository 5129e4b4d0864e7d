"""The picture of a sweep: every trial's validation curve, and the best so far over time."""

import io
from typing import Any

from tuning.records.result import SweepResult
from tuning.study.trials import TrialRecord

# Okabe and Ito's palette, which stays apart for colour-blind readers; grey recedes.
BEST, DEFAULT, FAILED, OTHER = "#0072B2", "#D55E00", "#CC79A7", "#8A8F98"
INK, RULE = "#22262B", "#D9DCE1"


def draw(result: SweepResult) -> bytes:
    """The picture of a sweep as PNG, 1600 × 700 pixels."""
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
    low, high = limits(result)
    _curves(left, result, low, high)
    _best_so_far(right, result)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def limits(result: SweepResult) -> tuple[float, float]:
    """Val accuracies between which the curves are drawn, in percent.

    What a reader compares lies at the top, so a few bad epochs fall off the lower edge, and a
    failed trial's count only where there is nothing else.
    """
    shown = result.of("completed", "stopped", "running") or result.trials
    values = sorted(value for trial in shown for value in trial.curve.values())
    if not values:
        return 0.0, 100.0
    low, high = values[int(0.04 * len(values))], values[-1]
    margin = max(0.06 * (high - low), 2.0)
    return max(low - margin, 0.0), min(high + 1.5 * margin, 100.5)


def _curves(axes: Any, result: SweepResult, low: float, high: float) -> None:
    best, default = result.best, result.default
    axes.set_ylim(low, high)
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
        name = "best: the paper's default" if default is best else "the paper's default"
        dashes = {"linestyle": (0, (4, 1.5)), "color": DEFAULT, "linewidth": weight}
        _line(axes, default, label=name + _score(default), **dashes)
    if best and best is not default:
        name = f"best: trial {best.number}{_score(best)}"
        _line(axes, best, label=name, color=BEST, linewidth=weight)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", fontsize=8.5, framealpha=0.9, edgecolor="none")
    axes.set_title(result.sweep.cell, loc="left", fontsize=10, color=INK, pad=16)


def _score(trial: TrialRecord) -> str:
    return f", {trial.score:.1f} %" if trial.state == "completed" else f", {trial.state}"


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
    steps, default = result.best_over_minutes(), result.default
    if not steps:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "no trial completed", transform=axes.transAxes, ha="center", color=OTHER
        )
        return
    origin = min(trial.started for trial in result.trials)
    done = [(((t.ended or 0.0) - origin) / 60, t.score or 0.0) for t in result.of("completed")]
    end = max(result.seconds / 60, steps[-1][0])
    minutes, scores = [at for at, _ in steps] + [end], [score for _, score in steps]
    axes.step(minutes, [*scores, scores[-1]], where="post", color=BEST, linewidth=2.4, zorder=3)
    axes.scatter(minutes[:-1], scores, s=22, color=BEST, zorder=4)
    axes.scatter(*zip(*done, strict=True), s=16, color=OTHER, alpha=0.7, linewidths=0, zorder=2)
    base = sorted(score for _, score in done)[len(done) // 2]
    if default and default.state == "completed" and default.score is not None:
        base = min(base, default.score)
        axes.axhline(default.score, color=DEFAULT, linewidth=1.6, linestyle=(0, (4, 1.5)), zorder=1)
        _label(axes, "the paper's default", default.score, DEFAULT, below=True)
    _label(axes, f"{scores[-1]:.1f} %", scores[-1], BEST, below=False)
    spread = max(scores[-1] - base, 2.0)
    axes.set_ylim(base - 0.3 * spread, scores[-1] + 0.2 * spread)
    axes.set_xlim(0, end * 1.03 or 1.0)


def _label(axes: Any, words: str, level: float, color: str, *, below: bool) -> None:
    place = {"ha": "right", "va": "top" if below else "bottom", "textcoords": "offset points"}
    axes.annotate(
        words, (1, level), xytext=(-2, -5 if below else 5), xycoords=axes.get_yaxis_transform(),
        fontsize=8.5, color=color, **place,
    )  # fmt: skip
