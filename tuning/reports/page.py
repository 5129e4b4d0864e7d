"""The HTML report of a sweep: one file, nothing from the network; whole without its script too."""

from itertools import combinations
from typing import Any

import yaml

from tuning.records.findings import OPENING, unconfirmed
from tuning.records.result import SweepResult
from tuning.records.winner import handed_out
from tuning.reports import ablation, figures, pareto, sentences
from tuning.reports.confirmed import SEEN, rows, scored
from tuning.reports.importance import kept_importance
from tuning.reports.spending import cost
from tuning.reports.templating import environment
from tuning.reports.wording import count, dollars, duration, origin, short, value_of

SLICES = 8
"""At most so many hyperparameters get a chart of their own, the most important ones."""
PAIRED = 4
"""Every pair among so many of the most important hyperparameters gets a chart."""

_WORDS = {SLICES: "eight", PAIRED: "four"}


def render(result: SweepResult, *, live: bool = False) -> str:
    """The report as HTML text.

    `live` is for a sweep that is still running: the page loads itself again, and leaves out
    the importance of hyperparameters, which takes long to work out.
    """
    weights = None if live else kept_importance(result)
    ranked = [s.name for s in weights.shares] if weights else list(result.sweep.searched)
    best, found = result.best, result.findings
    config = handed_out(result)
    return (
        environment()
        .get_template("report.html")
        .render(
            result=result,
            live=live,
            sweep=result.sweep,
            headline=sentences.headline(result),
            reference=sentences.reference(result),
            caveats=sentences.caveats(result),
            beside=sentences.beside_teacher(result),
            cost=cost(result),
            foretold=sentences.foretold(result),
            beginning=sentences.beginning(result.sweep.warm),
            origin=origin,
            commands=sentences.next_steps(result),
            rows=_comparison(result),
            curves=figures.curves(result),
            ablation=ablation.rows(result),
            below_ablation=ablation.note(result),
            confirmed=rows(found) if found else [],
            seen=" ".join(SEEN),
            unconfirmed=unconfirmed(result.sweep.settings.seeds_per_trial),
            scored=scored,
            progress=figures.best_so_far(result),
            pareto=pareto.shown([result]),
            importance=figures.importances(result, weights) if weights else None,
            conditions=sentences.conditions(result.sweep),
            slices=[figures.slice_of(result, name) for name in ranked[:SLICES]] if best else [],
            pairs=[figures.pair_of(result, a, b) for a, b in combinations(ranked[:PAIRED], 2)]
            if best
            else [],
            of_slices=_of_all(result, SLICES, ranked=weights is not None),
            of_pairs=_of_all(result, PAIRED, ranked=weights is not None),
            parallel=figures.coordinates(result) if best else None,
            trials=sorted(result.trials, key=lambda t: (t.state != "completed", -(t.score or 0.0))),
            protocol=_protocol(result),
            best_yaml=yaml.safe_dump(config.to_dict(), sort_keys=False) if config else "",
        )
    )


# -- tables -----------------------------------------------------------------------------------


def _comparison(result: SweepResult) -> list[tuple[str, str, str]]:
    """(name, the paper's value, the best trial's value) of every searched hyperparameter."""
    names = result.sweep.searched
    return [(short(n), value_of(result.default, n), value_of(result.best, n)) for n in names]


def _of_all(result: SweepResult, most: int, *, ranked: bool) -> str:
    """Which hyperparameters the charts show, where these are not all of them."""
    searched = len(result.sweep.searched)
    if searched <= most:
        return ""
    which = f"{_WORDS[most]} most important" if ranked else f"first {_WORDS[most]}"
    return f"The {which} of {searched} hyperparameters."


def _cut(split: dict[str, Any]) -> dict[str, Any]:
    """How val and the images to train on were cut."""
    each, share = split.get("val_per_class"), split.get("fraction")
    of_val = {"val images of each class": each} if each else {}
    part = f"{share:g} of what val leaves" if share else "all that val leaves"
    return {
        **(of_val or {"val share of the training set": split.get("val_fraction")}),
        "training images": split.get("train_size") or part,
    }


def _protocol(result: SweepResult) -> dict[str, Any]:
    """What every trial had in common."""
    found = result.findings
    times = found.opened if found else 0
    sweep = result.sweep
    opened = f"opened {count(times, 'time')}, see above" if times else "not opened"
    if any(sweep.folder.glob(f"*{OPENING}")):
        opened = f"opened {count(times + 1, 'time')}; what was read last was not kept"
    config = result.trials[0].config if result.trials else sweep.settings.base.to_dict()
    split, budget = config.get("split") or {}, sweep.settings.budget
    objectives, seeds = sweep.settings.objectives, sweep.settings.seeds_per_trial
    rows: dict[str, Any] = {
        "method": sweep.method,
        "backbone": sweep.backbone,
        "data set": sweep.dataset,
        "epochs": sweep.epochs,
        "objectives": ", ".join(one.words for one in objectives) if len(objectives) > 1 else None,
        "stopping": sentences.stopping(sweep),
        "trials": f"{len(result.trials)} of {sweep.trials or f'as many as {budget} allow'}",
        "budget": str(budget) or None,
        "at once": sweep.slots,
        "epochs trained": result.epochs_spent,
        "epochs saved by stopping": result.epochs_saved,
        "time, without pauses": duration(result.seconds),
        "time of all trials together": duration(result.trial_seconds),
        "GPU time": duration(result.gpu_seconds) if result.gpu_seconds else None,
        "cost": None if result.usd is None else dollars(result.usd),
        "val images": sweep.val_size or "not recorded",
        "images": sweep.settings.base.images.portable.told or None,
        **_cut(split),
        "split seed": split.get("seed"),
        "batch size": config.get("batch_size"),
        "training seed": config.get("seed"),
        "seeds of each trial": seeds if seeds > 1 else None,
        "precision": config.get("precision"),
        "soft-label memories": config.get("history"),
        "test set": opened,
        **{name.replace("_", " "): value for name, value in sweep.environment.items()},
    }
    return {name: value for name, value in rows.items() if value is not None}
