"""What a sweep found and what to type next, in sentences that the terminal and the page share."""

import os
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from kd.config import SAW_VAL
from kd.files import relative
from kd.run_folder import BEST_CONFIG
from kd.section import flatten
from kd.text import visible
from search_spaces import in_words
from tuning.records.findings import behind, unconfirmed
from tuning.records.foretelling import foretelling
from tuning.records.result import Sweep, SweepResult
from tuning.records.settings import ON_SLURM, SHOWN_STORAGE, SweepSettings
from tuning.reports import wording
from tuning.reports.confirmed import on_test, verdict
from tuning.reports.wording import count, percent, short, trial_name
from tuning.storage.claim import in_use
from tuning.study.stopping import best_of
from tuning.study.trials import TrialRecord, best_trial
from tuning.study.warm import WarmStart

DEFAULT_STORAGE = Path("runs")


def headline(result: SweepResult) -> str:
    """The best trial against the paper's default, in one sentence; "" if none completed."""
    best, default = result.best, result.default
    how = unconfirmed(result.sweep.settings.seeds_per_trial)
    if result.findings:
        return verdict(result.findings)
    if best is None:
        return ""
    if best is default:
        return f"No trial beat the paper's default: {percent(best.score)} val accuracy; {how}."
    found = f"Best of {count(len(result.trials), 'trial')}: {percent(best.score)} val accuracy"
    if result.gain is None:
        return (
            f"{found}, {how}; the paper's default {_unfinished(default)}, so there is no "
            "comparison."
        )
    return f"{found}, {result.gain:+.2f} points on the paper's default; {how}."


def _unfinished(trial: TrialRecord | None) -> str:
    if trial is None:
        return "was not run"
    words = {"stopped": "was stopped", "failed": "failed", "diverged": "diverged"}
    how = words.get(trial.outcome, "was interrupted")
    return f"{how} at epoch {trial.epoch}"


def beside_teacher(result: SweepResult) -> str:
    """How close the best trial came to its teacher on val; "" where there is none, or it is older.

    The measures of Zhu et al. 2024 (review of knowledge distillation, equations 6 to 9).
    """
    told = result.best.metrics if result.best else {}
    if "teacher_agreement" not in told:
        return ""
    errors = told.get("relative_error")
    than = "its teacher made none" if errors is None else f"it made {errors:.2f} times as many"
    return (
        f"Beside its teacher, on val: both say the same of {percent(told['teacher_agreement'])} of "
        f"the images, KL divergence {told['teacher_kl']:.3g} nats, correlation of probabilities "
        f"{told['teacher_correlation']:.2f}; of errors {than}, with 1/"
        f"{told['distillation_factor']:.3g} of the parameters."
    )


def conditions(sweep: Sweep) -> list[str]:
    """What the charts leave out of hyperparameters that only some trials searched."""
    return [
        f"{short(name)} is searched only where {in_words(domain.when)}. Other trials keep the "
        "paper's value: they have no mark on its charts, and their lines go past its axis."
        for name, domain in sweep.searched.items()
        if domain.when
    ]


def caveats(result: SweepResult) -> list[str]:
    """How far the comparison can be trusted."""
    sentences = [*moved(result), *seen_val(result.sweep.settings)]
    best, found = result.best, result.findings
    if found:
        leader = result.leader
        if leader and leader.number not in found.val_acc and found.before(leader.ended):
            sentences.append(
                f"Since it was confirmed, {trial_name(leader)} came to {percent(leader.score)} val "
                f"accuracy: {unconfirmed(leader.seeds)}."
            )
        return [*on_test(found), *sentences]
    if best is not None and best.seeds > 1:
        sentences.append("The student that is kept is that of its first seed.")
    if best is not None and result.again:
        again = f"is not decided: {confirm_again(result.sweep.settings)} goes on."
        now = in_use(result.sweep.folder)
        sentences.append(
            "It is being confirmed now." if now else f"Confirming it was begun and {again}"
        )
    if best is None or best is result.default or result.gain is None:
        return sentences
    size = result.sweep.val_size
    how = behind(best.seeds)
    same = f"this same val set of {count(size, 'image')}" if size else "this same val set"
    return [
        *sentences,
        f"{how[0].upper()}{how[1:]} each, and the best was chosen on {same}, which flatters it: "
        "confirm it before you rely on it.",
    ]


def moved(result: SweepResult) -> list[str]:
    """Where the trial that stands as the paper's default is not quite that."""
    if result.default is None:
        return []
    paper = result.sweep.settings.base.flat()
    own = dict(flatten(result.default.config))
    other = [
        f"{name} = {wording.text(own[name])} (not {wording.text(value)})"
        for name, value in paper.items()
        if not name.startswith(("teacher.", "further_teachers")) and own.get(name, value) != value
    ]
    if not other:
        return []
    return [f"What is called the paper's default has {', '.join(other)}: so the sweep was asked."]


def reference(result: SweepResult) -> str:
    """What heads the numbers of the trial that stands as the paper's default."""
    return "nearest to the paper's" if moved(result) else "paper's default"


def seen_val(settings: SweepSettings) -> list[str]:
    """That val is known to a teacher, where that was allowed."""
    return [SAW_VAL] if settings.base.saw_val else []


def stopping(sweep: Sweep) -> str:
    """When a trial may be stopped."""
    rule, at = sweep.settings.scheduler, ", ".join(map(str, sweep.rungs))
    if rule == "none" or (rule in ("asha", "hyperband") and not sweep.rungs):
        return "never"
    if rule == "median":
        return f"from epoch {sweep.settings.grace_period} on, by the median rule"
    if rule == "top-k":
        return f"from epoch {at} on, unless among the best {best_of(sweep.trials)} at it"
    return f"at epochs {at}" + (", in brackets" if rule == "hyperband" else "")


def beginning(warm: WarmStart) -> str:
    """What a search begins with beside the paper's default, as a line; "" for nothing."""
    parts = []
    if warm.first:
        parts.append(f"first trials from: {', '.join(first.about for first in warm.first)}")
    if warm.told:
        known = [f"{count(n, 'trial')} of {name}" for name, n in warm.sweeps().items()]
        parts.append(f"learns from {', '.join(known)} too")
    if warm.known:
        parts.append(f"known here: {warm.known}, not tried again")
    return visible("; ".join(parts))


def foretold(result: SweepResult) -> list[str]:
    """How far early stopping can be trusted, where some of its trials ran on; else nothing."""
    known = foretelling(result)
    if known is None:
        if not (result.sweep.settings.check_rungs and result.trials):
            return []
        return ["No trial that would have been stopped ran on, so the rungs are not checked."]
    best = best_trial(list(known.spared))
    level = best_trial(list(known.others))
    assert best is not None
    n = len(known.spared)
    ran = f"{count(n, 'trial')} that would have been stopped ran on to the end, to check that"
    found = f"the best of them ({trial_name(best)}) came to {percent(best.score)}"
    sentences = []
    if level is None or level.score is None or best.score is None:
        sentences.append(f"{ran}; {found}, and no other trial completed.")
    else:
        lost = best.score - level.score
        cost = f"would have cost {lost:.2f} points" if lost > 0 else "would have cost nothing"
        sentences.append(
            f"{ran}; {found}, the best of the others ({trial_name(level)}) to "
            f"{percent(level.score)}: stopping {'it' if n == 1 else 'them'} {cost}. "
            f"That is a rough estimate, of n = {n} and {behind(best.seeds)} each."
        )
    for one in known.agreements:
        interval = (
            f"95 % interval {one.low:.2f} to {one.high:.2f}"
            if one.low is not None and one.high is not None
            else "too few for an interval"
        )
        sentences.append(
            f"The order at epoch {one.epoch} and that at the last: Kendall's τ = {one.tau:.2f} "
            f"({interval}, n = {count(one.n, 'completed trial')})."
        )
    return sentences


# -- what to type next ------------------------------------------------------------------------


def resume(sweeps: Sequence[SweepSettings]) -> str:
    """The command that goes on with sweeps of one storage."""
    names = " --resume ".join(settings.name for settings in sweeps)
    where = "--slurm " if ON_SLURM in os.environ else ""
    return f"python -m tuning.search {where}--resume {names}{_storage_flag(sweeps[0])}"


def search_on(result: SweepResult) -> str:
    """The command that lets a sweep try more: with more of what it ended by."""
    settings = result.sweep.settings
    more = [bound.doubled for bound in settings.budget.reached(result.trials)]
    if settings.trials and len(result.ended) >= settings.trials:
        more.append(f"--trials {len(result.ended) + 4}")
    return " ".join([resume([settings]), *more])


def confirm_again(settings: SweepSettings) -> str:
    """The command that proves what a sweep hands out."""
    return f"python -m tuning.confirm {settings.name}{_storage_flag(settings)}"


def more_seeds(result: SweepResult) -> str:
    """The command that decides on a candidate that may be better; "" where none may."""
    found, settings = result.findings, result.sweep.settings
    if found is None or found.undecided is None or settings.compared_on:
        return ""
    seeds = 2 * max(found.most, len(found.seeds))
    return f"{confirm_again(settings)} --trial {found.undecided} --seeds {seeds} --again more-seeds"


def of_trial(sweep: Sweep, number: int) -> tuple[str, str]:
    """The commands that export the configuration of a trial, and that prove it."""
    kept = _storage_flag(sweep.settings)
    return (
        f"python -m tuning.export --sweep {sweep.name} --trial {number}{kept}",
        f"python -m tuning.confirm {sweep.name} --trial {number}{kept}",
    )


def report_again(sweep: Sweep) -> str:
    """The command that writes a sweep's report from its folder."""
    return f"python -m tuning.report {sweep.name}{_storage_flag(sweep.settings)}"


def next_steps(result: SweepResult, *, interrupted: bool = False) -> list[str]:
    """Commands to type next; none where a comparison is interrupted, which says how it goes on."""
    sweep, kept = result.sweep, _storage_flag(result.sweep.settings)
    if interrupted and sweep.settings.compared_on:
        return []
    steps = [resume([sweep.settings])] if interrupted else []
    if result.best is not None:
        known = interrupted or result.findings or (sweep.settings.confirm and not result.again)
        if not known and result.best is not result.default:
            there = f"{resume([sweep.settings])} --confirm"
            elsewhere = _read_elsewhere() or ON_SLURM in os.environ
            steps.append(there if elsewhere else confirm_again(sweep.settings))
        steps += [
            f"python -m kd.train {quote(str(shown(sweep.folder) / BEST_CONFIG))}",
            f"python -m tuning.export --sweep {sweep.name}{kept}",
            f"python -m tuning.export --sweep {sweep.name} --to onnx{kept}",
        ]
    if _read_elsewhere():
        return steps
    if result.best is not None:
        steps.append(f"python -m tuning.best{kept}")
    return [*steps, f"python -m tuning.ui {sweep.name}{kept}"]


def next_steps_of_several(
    results: Sequence[SweepResult], *, interrupted: bool = False
) -> list[str]:
    """Commands to type next after sweeps that ran side by side, in one storage."""
    sweeps = [result.sweep.settings for result in results]
    kept = _storage_flag(sweeps[0])
    steps = [resume(sweeps)] if interrupted else []
    steps.append(f"python -m tuning.report {' '.join(one.name for one in sweeps)}{kept}")
    return steps if _read_elsewhere() else [*steps, f"python -m tuning.best{kept}"]


def shown(folder: Path) -> Path:
    """A sweep's folder as it is shortest to type for whoever reads this."""
    if _read_elsewhere():
        return Path(os.environ[SHOWN_STORAGE]) / folder.name
    return relative(folder)


def _read_elsewhere() -> bool:
    """Whether this is a cluster's, where the registry and the MLflow server stay."""
    return SHOWN_STORAGE in os.environ


def _storage_flag(settings: SweepSettings) -> str:
    storage = shown(settings.folder).parent
    return "" if storage == DEFAULT_STORAGE else f" --storage {quote(str(storage))}"
