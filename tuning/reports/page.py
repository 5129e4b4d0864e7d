"""The HTML report of a sweep: one file, no script, nothing from the network."""

from itertools import combinations
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from tuning.records.findings import FILE as CONFIRMED
from tuning.records.findings import Findings
from tuning.records.result import SweepResult, duration, short, text, value_at
from tuning.reports import figures, summary
from tuning.reports.importance import importance
from tuning.study.trials import TrialRecord

SLICES = 8
"""At most so many hyperparameters get a chart of their own, the most important ones."""
PAIRED = 4
"""Every pair among so many of the most important hyperparameters gets a chart."""


def render(result: SweepResult, *, live: bool = False) -> str:
    """The report as HTML text.

    `live` is for a sweep that is still running: the page loads itself again, and leaves out
    the importance of hyperparameters, which takes long to work out.
    """
    weights = None if live else importance(result)
    ranked = [s.name for s in weights.shares] if weights else list(result.sweep.searched)
    best = result.best
    return (
        environment()
        .get_template("report.html")
        .render(
            result=result,
            live=live,
            sweep=result.sweep,
            headline=summary.headline(result),
            caveats=summary.caveats(result),
            cost=summary.cost(result),
            commands=summary.next_steps(result),
            rows=_comparison(result),
            curves=figures.curves(result),
            findings=None if live else Findings.load(result.sweep.folder),
            progress=[figures.best_over_minutes(result), figures.best_over_epochs(result)]
            if best
            else [],
            importance=figures.importances(result, weights) if weights else None,
            slices=[figures.slice_of(result, name) for name in ranked[:SLICES]] if best else [],
            pairs=[figures.pair_of(result, a, b) for a, b in combinations(ranked[:PAIRED], 2)]
            if best
            else [],
            parallel=figures.coordinates(result) if best else None,
            trials=sorted(result.trials, key=lambda t: (t.state != "completed", -(t.score or 0.0))),
            protocol=_protocol(result),
            best_yaml=yaml.safe_dump(best.config, sort_keys=False) if best else "",
        )
    )


def environment() -> Environment:
    """Jinja with the project's templates and the words for values."""
    found = Environment(
        loader=PackageLoader("tuning.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"text": text, "short": short, "duration": duration}
    found.globals |= {"value_at": value_at}
    return found


# -- tables -----------------------------------------------------------------------------------


def _comparison(result: SweepResult) -> list[tuple[str, str, str]]:
    """(name, the paper's value, the best trial's value) of every searched hyperparameter."""

    def value(trial: TrialRecord | None, name: str) -> str:
        return text(value_at(trial.config, name)) if trial else "–"

    names = result.sweep.searched
    return [(short(n), value(result.default, n), value(result.best, n)) for n in names]


def _protocol(result: SweepResult) -> dict[str, Any]:
    """What every trial had in common."""
    confirmed = (result.sweep.folder / CONFIRMED).exists()
    sweep, config = result.sweep, result.trials[0].config if result.trials else {}
    split = config.get("split") or {}
    stops = f"at epochs {', '.join(map(str, sweep.rungs))}" if sweep.rungs else "never"
    rows: dict[str, Any] = {
        "method": sweep.method,
        "backbone": sweep.backbone,
        "data set": sweep.dataset,
        "epochs": sweep.epochs,
        "stopping": stops,
        "trials": f"{len(result.trials)} of {sweep.trials}",
        "at once": sweep.slots,
        "epochs trained": result.epochs_spent,
        "epochs saved by stopping": result.epochs_saved,
        "time from start to end": duration(result.seconds),
        "time of all trials together": duration(result.trial_seconds),
        "GPU time": duration(result.gpu_seconds) if result.gpu_seconds else None,
        "val images": sweep.val_size or "not recorded",
        "val share of the training set": split.get("val_fraction"),
        "training images": split.get("train_size") or "all that val leaves",
        "split seed": split.get("seed"),
        "batch size": config.get("batch_size"),
        "training seed": config.get("seed"),
        "precision": config.get("precision"),
        "test set": "opened once, see above" if confirmed else "not opened",
        **{name.replace("_", " "): value for name, value in sweep.environment.items()},
    }
    return {name: value for name, value in rows.items() if value is not None}
