"""What a sweep begins with: looked up when it begins, and kept for as long as it goes on.

What other cells found is asked of the registry of best configurations; the trials of earlier sweeps
of the same cell are read from their folders in the storage. Nothing of it may keep a search from
beginning: what cannot be read is passed over, and what takes too long is left.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kd.backbones.names import short
from kd.config import TrainConfig
from kd.data import DatasetName
from kd.errors import UserError, unknown
from kd.screen import warn
from search_spaces import SPAN, Space
from tuning.records.findings import behind
from tuning.records.protocol import cell_name
from tuning.records.result import SweepResult, load_result
from tuning.records.settings import FILE, SweepSettings, sweep_names
from tuning.reports.wording import percent
from tuning.study.proposals import MOST, Proposal, first_trials
from tuning.study.sampling import GRID, TPE
from tuning.study.warm import AUTO, NONE, Told, WarmStart, check_values
from tuning.tracking.promoted import champion
from tuning.tracking.store import Store, within
from tuning.tracking.versions import read_all

PATIENCE = 5.0
"""Seconds that the registry may take, and after which no further folder is read."""
TOLD = 256
"""Trials that a sampler is told of at most, those of the newest sweeps."""
TRAINING_SEED = "seed"
"""What of a protocol may be another one: a ranking bears the luck of another seed."""


def check_warm_start(settings: SweepSettings) -> None:
    """Raise UserError unless the sweep that it is to begin from can be of use to it."""
    if settings.warm_start in (AUTO, NONE):
        return
    if settings.sampler == GRID:
        raise UserError("--sampler grid tries every configuration anyway; leave --warm-start away.")
    result = _named(settings)
    if (its := result.sweep.method) != (own := settings.base.method):
        raise UserError(
            f"--warm-start {settings.warm_start} is a sweep of {its}, and {own} is searched; give "
            f"one of {own}, or --warm-start auto."
        )
    if result.best is None:
        raise UserError(
            f"--warm-start {settings.warm_start} is a sweep without a completed trial; give "
            "another one, or --warm-start auto."
        )


def warm_start(
    settings: SweepSettings,
    space: Space,
    base: TrainConfig,
    protocol: Mapping[str, str],
    *,
    begun: bool,
) -> WarmStart:
    """What the sweep begins with, or began with; nothing for one that has `begun` cold.

    UserError for a file of it that is damaged, or for the sweep that was asked for by name.
    """
    kept = WarmStart.load(settings.folder)
    cold = settings.warm_start == NONE or settings.sampler == GRID
    if kept is not None or begun or cold:
        return check_values(kept or WarmStart(), space, base, settings.folder)
    if settings.warm_start == AUTO:
        sweeps, proposals = earlier(settings), _of_registry(settings)
    else:
        named = _named(settings)
        sweeps, proposals = iter([named]), _of_sweep(named, settings)
    told, known, best = _told(sweeps, space, base, protocol) if _learns(settings) else ((), [], "")
    first = first_trials(space, base, proposals, settings.planned, known)
    found = WarmStart(first=first, told=told, known=best)
    if found != WarmStart():
        found.save(settings.folder)
    return found


def _learns(settings: SweepSettings) -> bool:
    """Whether its sampler learns from trials of other sweeps."""
    return settings.sampler == TPE and len(settings.objectives) < 2


def _named(settings: SweepSettings) -> SweepResult:
    name, known = settings.warm_start, sweep_names(settings.storage)
    try:
        if name not in known:
            raise unknown("sweep", name, [*known, AUTO, NONE])
        return load_result(settings.storage, name)
    except UserError as error:
        raise UserError(f"--warm-start: {error}") from None


# -- the first trials --------------------------------------------------------------------------


def _of_registry(settings: SweepSettings) -> list[Proposal]:
    """What each cell of the method found best, the newest first; none where it cannot be asked."""
    method = settings.base.method
    store = Store.at(settings.storage, settings.tracking_uri)
    try:
        every = within(PATIENCE, lambda: read_all(store, method))
    except Exception as error:  # whatever a store may raise: a search does without
        reason = "it does not answer in time" if isinstance(error, TimeoutError) else error
        warn(f"{settings.name} begins without what other cells found: {str(reason).rstrip('.')}.")
        return []
    found = []
    kept = [best for best in every if not best.superseded]
    for cell in dict.fromkeys(best.cell for best in kept):
        best = champion([best for best in kept if best.cell == cell])
        how = "confirmed" if best.is_confirmed else best.confirmed.partition(",")[0]
        source, about = _called(best.config, best.sweep, best.trial, settings)
        proposal = Proposal(
            config=best.config,
            cell=cell,
            source=source,
            about=f"{about} ({how})",
            confirmed=best.is_confirmed,
        )
        found.append((-best.created, proposal))
    return [proposal for _, proposal in sorted(found, key=lambda pair: pair[0])]


def _of_sweep(result: SweepResult, settings: SweepSettings) -> list[Proposal]:
    """The best configurations of one sweep: what it hands out, then by their scores.

    None that was raced there on new seeds and lost.
    """
    raced = result.findings.val_acc if result.findings else {}
    done = [t for t in result.of("completed") if t is result.best or t.number not in raced]
    done.sort(key=lambda t: (-(t.score or 0.0), t.number))
    done.sort(key=lambda trial: trial is not result.best)
    found = []
    for trial in done[: 4 * MOST]:
        config = TrainConfig.from_dict(trial.config)
        confirmed = result.findings is not None and trial is result.best
        how = "confirmed" if confirmed else behind(trial.seeds)
        source, _ = _called(config, result.sweep.name, trial.number, settings)
        about = f"trial {trial.number} of {result.sweep.name} ({how})"
        found.append(
            Proposal(
                config=config,
                cell=about,
                source=source,
                about=about,
                confirmed=confirmed,
            )
        )
    return found


def _called(
    config: TrainConfig, sweep: str, trial: int, settings: SweepSettings
) -> tuple[str, str]:
    """What a table calls another search, in a word or two, and what a sentence does."""
    base = settings.base
    images, own = (DatasetName.parse(c.dataset).portable for c in (config, base))
    name, ours = short(config.backbone), short(base.backbone)
    other = [name] * (name != ours) + [images] * (images != own)
    if not other:
        return sweep, f"trial {trial} of {sweep}"
    return " and ".join(other), f"{config.method} on {name} and {images}"


# -- what the sampler is told ------------------------------------------------------------------


def earlier(settings: SweepSettings) -> Iterator[SweepResult]:
    """Other sweeps that trained as long on as much of the cell, the newest first.

    Those in the storage, as long as there is time to read them.
    """
    base, end = settings.base, time.monotonic() + PATIENCE
    for name in reversed(sweep_names(settings.storage)):
        if time.monotonic() > end:
            return
        if name == settings.name:
            continue
        try:
            # Reading one as YAML takes longer than all else.
            text = (settings.storage / name / FILE).read_text(encoding="utf-8")
            if f"method: {base.method}\n" in text and f"backbone: {base.backbone}\n" in text:
                its = SweepSettings.load(settings.storage, name).base
                if (_cell(its), its.epochs, its.split) == (_cell(base), base.epochs, base.split):
                    yield load_result(settings.storage, name)
        except (UserError, OSError, ValueError, KeyError, TypeError):
            continue


def _cell(config: TrainConfig) -> str:
    return cell_name(config.method, config.backbone, config.dataset)


def _told(
    sweeps: Iterator[SweepResult], space: Space, base: TrainConfig, protocol: Mapping[str, str]
) -> tuple[tuple[Told, ...], list[TrainConfig], str]:
    """The trials of sweeps under the same protocol that are draws from `space` around `base`.

    And their configurations, and the best of them of this training seed in words. Those of another
    seed are told too.
    """
    told: list[Told] = []
    known: list[TrainConfig] = []
    best = list[SweepResult]()
    rest = Space({}, space.fixed).apply(base, {}).portable.flat()
    for result in sweeps:
        if _but_seed(result.sweep.protocol) != _but_seed(protocol):
            continue
        for trial in result.trials:
            if len(told) == TOLD:
                return tuple(told), known, _in_words(best)
            if not trial.curve or trial.state == "failed":
                continue
            config = TrainConfig.from_dict(trial.config)
            values = _drawn(space, rest | {TRAINING_SEED: config.seed}, config)
            if values is not None:
                name = result.sweep.name
                told.append(Told(sweep=name, trial=trial.number, values=values, curve=trial.curve))
                known.append(config)
                again = config.seed == base.seed and not trial.is_default
                if trial is result.best and again:
                    best.append(result)
    return tuple(told), known, _in_words(best)


def _in_words(results: Sequence[SweepResult]) -> str:
    """`88.36 % (NAME, confirmed)`: the best that they hand out, a confirmed one first."""
    ranked = sorted(results, key=lambda r: (r.findings is None, -(r.best_score or 0.0)))
    for result in ranked[:1]:
        how = "confirmed" if result.findings else behind(result.sweep.settings.seeds_per_trial)
        return f"{percent(result.best_score)} ({result.sweep.name}, {how})"
    return ""


def _drawn(space: Space, rest: Mapping[str, Any], config: TrainConfig) -> dict[str, Any] | None:
    """The values of `config` as a draw from `space` beside `rest`; None where it is none."""
    flat = config.portable.flat()
    try:
        values = space.nearest_values(flat)
    except (KeyError, TypeError):
        return None
    searched = {name.removesuffix(SPAN) for name in values}
    for name in flat.keys() | rest.keys():
        value = flat.get(name)
        own = space.domains[name].nearest(value) if name in searched else rest.get(name)
        if own != value:
            return None
    return values


def _but_seed(protocol: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in protocol.items() if name != TRAINING_SEED}
