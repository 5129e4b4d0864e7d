"""Training a list of configurations: of teachers, or the pairs of a confirmation."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from kd.config import TrainConfig
from tuning.engine.lanes import Lane
from tuning.engine.trial import Work
from tuning.records.result import Sweep
from tuning.records.settings import SweepSettings
from tuning.reports.live_table import LiveTables
from tuning.study.journal import open_study
from tuning.study.searcher import ListSearcher
from tuning.study.stopping import make_stopping


def open_list(
    settings: SweepSettings,
    configs: Sequence[TrainConfig],
    work: Work,
    opened: ExitStack,
    live: LiveTables,
    *,
    names: Sequence[str],
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
    about = replace(
        settings, base=configs[0], trials=len(configs), scheduler="none", grace_period=1
    )
    sweep = Sweep(settings=about, searched={})
    searcher.observers.append(live.add(sweep, searcher.records.values(), names))
    return Lane(searcher, make_stopping("none", configs[0].epochs), work)
