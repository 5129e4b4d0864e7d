"""Training a list of configurations: of teachers, or the pairs of a confirmation."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from kd.config import TrainConfig
from tuning.engine.lanes import Lane
from tuning.engine.trial import Work
from tuning.records.result import Sweep
from tuning.records.settings import SweepSettings
from tuning.reports.live_table import LiveTables, Names
from tuning.study.budget import Budget
from tuning.study.journal import open_study
from tuning.study.listing import ListSearcher, RaceSearcher
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import make_stopping
from tuning.study.trials import REFERENCE, TrialRecord


def open_list(
    settings: SweepSettings,
    configs: Sequence[TrainConfig],
    work: Work,
    opened: ExitStack,
    live: LiveTables,
    *,
    names: Names,
    again: str = "resume the sweep.",
) -> Lane:
    """The lane that trains `configs`, one trial each, from where it was interrupted.

    Its study has the name of the work's and lies in the sweep's folder, open as long as
    `opened`. `live` shows it, by what `names` calls them; `again` ends the sentence of what stops
    it. UserError where another list was begun.
    """
    name = work.files.study
    path = settings.folder / f"{name}.log"
    study = opened.enter_context(open_study(path, name, create=not path.exists()))
    searcher = ListSearcher(study, configs, again=again)
    _show(settings, configs[0], searcher, len(configs), live, names)
    return Lane(searcher, make_stopping("none", configs[0].epochs), work)


def open_race(
    settings: SweepSettings,
    candidates: Mapping[int, TrainConfig],
    seeds: Sequence[int],
    work: Work,
    opened: ExitStack,
    live: LiveTables,
    *,
    fill: int,
    again: str,
    budget: Budget | None = None,
    before: Sequence[TrialRecord] = (),
) -> tuple[Lane, RaceSearcher]:
    """The lane of a race between `candidates`, by the numbers of their trials, and its searcher.

    The same as of `open_list`; `live` calls a training by the sweep's trial and its seed. `fill`,
    and the `budget` that it may spend together with the trials `before`, are as of the searcher.
    """
    name = work.files.study
    path = settings.folder / f"{name}.log"
    study = opened.enter_context(open_study(path, name, create=not path.exists()))
    searcher = RaceSearcher(
        study, candidates, seeds, fill=fill, budget=budget, before=before, again=again
    )

    def called(training: TrialRecord) -> str:
        number, place = searcher.pair(training)
        trial = "the paper's default" if number == REFERENCE else f"trial {number}"
        return f"{trial}, seed {seeds[place]}"

    base = candidates[REFERENCE]
    _show(settings, base, searcher, len(candidates) * len(seeds), live, called)
    return Lane(searcher, make_stopping("none", base.epochs), work), searcher


def _show(
    settings: SweepSettings,
    base: TrainConfig,
    searcher: StudySearcher,
    trials: int,
    live: LiveTables,
    names: Names,
) -> None:
    about = replace(settings, base=base, trials=trials, scheduler="none", grace_period=1)
    about = replace(about, epochs_total=None, hours=None, gpu_hours=None, cost=None)
    sweep = Sweep(settings=about, searched={})
    searcher.observers.append(live.add(sweep, searcher.records.values(), names))
