"""One sweep among those that run together: what it is, its search, and what ends it."""

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Self

from kd.backbones.sent import code_of
from kd.config import SAW_VAL, TrainConfig, networks_of
from kd.data import Images
from kd.data.split import Cut, train_val
from kd.errors import UserError
from kd.origin import Origin
from kd.screen import warn
from search_spaces import Space
from tuning.engine.lanes import Lane
from tuning.engine.share import Share
from tuning.engine.trial import Work
from tuning.records.environment import environment
from tuning.records.findings import Findings
from tuning.records.keeper import Keeper
from tuning.records.plan import compiles, expected_epochs
from tuning.records.protocol import cell_name, protocol
from tuning.records.result import Sweep, SweepResult, confirming, tried
from tuning.records.settings import COSTS, SEARCH, STUDY, SweepSettings
from tuning.reports.files import attempted, write_report
from tuning.reports.live_page import LiveReport
from tuning.reports.live_table import LiveTables
from tuning.reports.sentences import beginning, report_again, resume
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import open_study, read_trials, study_facts
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import Check, make_stopping
from tuning.study.trials import TrialRecord
from tuning.study.warm import COLD, WARM
from tuning.study.warm import FILE as WARM_START
from tuning.sweeps.forecasting import Foresight
from tuning.sweeps.handing_out import promote_result
from tuning.sweeps.warming import warm_start
from tuning.tracking.runs import Outcome
from tuning.tracking.store import Store
from tuning.tracking.tracker import Tracker

TRIAL = "trial"
"""What the files of the search's own trials are called by."""
MANY = 64
"""Trials that are expected where hours or cost alone end a search, as of the paper's preset."""


@dataclass(frozen=True)
class Cell:
    """What a sweep over one (method, backbone, data set) works with.

    `base` is the configuration that its trials start from: that of the settings, and where
    teachers were trained for it, with their files. `teachers` holds those files. `images` is the
    digest of all that `train` and `val` were cut from. `protocol` and `environment` say what its
    scores may be compared under, and where they are measured. `compiled` says whether its trials'
    steps are, and `costs` what its backbone costs, as far as that is an objective.
    """

    settings: SweepSettings
    space: Space
    images: str
    train: Images
    val: Images
    base: TrainConfig
    protocol: dict[str, str]
    environment: dict[str, str]
    teachers: tuple[bytes, ...] = ()
    compiled: bool = False
    costs: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, settings: SweepSettings, space: Space, images: Images, cut: Cut = train_val
    ) -> Self:
        """The cell of a sweep whose teacher is still to come.

        UserError where the images are not those that the sweep began with.
        """
        base, known = settings.base, Origin.load(settings.folder)
        # Before they are cut: a sentence about the split of other images would mislead.
        known.require(replace(known, images=images.digest), settings.name, "start a new sweep")
        train, val = cut(images, base.split)
        # The same images may have been written anew, and would have another protocol.
        begun = study_facts(settings.folder / STUDY, SEARCH).get("protocol")
        seeds, root = settings.seeds_per_trial, settings.data_root
        about = begun or protocol(base, seeds, root), environment()
        always = settings.compile == "always"
        return cls(settings, space, images.digest, train, val, base, *about, compiled=always)

    @property
    def origin(self) -> Origin:
        """What the sweep would begin with now."""
        return Origin.of(self.images, self.teachers, self.base)

    def check_origin(self) -> None:
        """Raise UserError where the images or the teacher are not those that it began with."""
        known, name = Origin.load(self.settings.folder), self.settings.name
        known.require(self.origin, name, "start a new sweep")

    def begin(self) -> None:
        """Keep in the sweep's folder its settings, and what it begins with."""
        self.settings.save()
        Origin.load(self.settings.folder).keep(self.settings.folder, self.origin)

    @property
    def untaught(self) -> bool:
        """Whether its trials learn from a teacher that is still to be trained."""
        return self.base.needs_teacher and not self.teachers

    @property
    def work(self) -> Work:
        """What the trials of its search train on."""
        return self.work_of(TRIAL)

    def jobs(self) -> list[tuple[TrainConfig, Work]]:
        """The configurations at the ends of its space, and what their trials train on."""
        work = self.work
        return [(config, work) for config in self.space.extremes(self.base)]

    def work_of(self, study: str) -> Work:
        """What the trials of `study` train on, and where they write."""
        files = TrialFiles(shelf=self.settings.shelf, study=study)
        seeds = self.settings.seeds_per_trial if study == TRIAL else 1
        images, sent = (self.train, self.val), (self.teachers, code_of(networks_of(self.base)))
        return Work(*images, files, *sent, compiled=self.compiled, seeds=seeds)

    def packed(self, share: Share, rate: float | None) -> Self:
        """The cell whose trials get `share`, and take so many steps a second, if that is known.

        It says where they are compiled and nobody asked for it.
        """
        steps = math.ceil(len(self.train) / self.base.batch_size)
        epochs, _ = expected_epochs(self.settings) or (MANY * self.settings.epochs_of_a_trial, 0)
        compiled = compiles(
            self.settings,
            steps=steps,
            epochs=epochs,
            gpus=share.gpus,
            slots=share.slots,
            rate=rate,
        )
        if compiled and self.settings.compile == "auto":
            print(f"{self.settings.name}: its steps are compiled.", flush=True)
        return replace(self, compiled=compiled)

    def weighed(self) -> Self:
        """The cell that knows what its backbone costs; of a sweep that began, what it cost then."""
        names = [one.name for one in self.settings.objectives if one.of == "backbone"]
        known = study_facts(self.settings.folder / STUDY, SEARCH).get(COSTS, {})
        if not set(names) <= set(known):
            from kd.cost import costs

            c, h, w = self.train.images.shape[1:]
            known = costs(self.base.backbone, len(self.train.class_names), (c, h, w), names)
        return replace(self, costs={name: known[name] for name in names})

    def about(self, slots: int = 1) -> Sweep:
        """The sweep for those who show it, with `slots` trials at once."""
        return Sweep(
            settings=self.settings,
            searched=self.space.domains,
            slots=slots,
            val_size=len(self.val),
            protocol=self.protocol,
            environment=self.environment,
            costs=self.costs,
        )

    def store(self) -> Store:
        """Where it is tracked."""
        return Store.at(self.settings.storage, self.settings.tracking_uri)

    def tracker(self) -> Tracker:
        """What writes it to MLflow, from `with` on."""
        base = self.settings.base
        fixed = {f"fixed.{name}": value for name, value in self.settings.fixed.items()}
        return Tracker(
            self.store(),
            cell_name(base.method, base.backbone, base.dataset),
            self.settings.name,
            protocol=self.protocol | self.environment,
            params=base.flat() | fixed,
            searched=tuple(self.space.domains),
        )


@dataclass(frozen=True)
class Search:
    """The search of a cell, from its beginning or from where it was interrupted."""

    cell: Cell
    sweep: Sweep
    lane: Lane
    foresight: Foresight

    @classmethod
    def open(
        cls, cell: Cell, opened: ExitStack, live: LiveTables, tracker: Tracker, slots: int
    ) -> Self:
        """Open the sweep's own study, as long as `opened`, with all who watch it."""
        settings, path = cell.settings, cell.settings.folder / STUDY
        study = opened.enter_context(open_study(path, SEARCH, create=not path.exists()))
        begun = bool(read_trials(study))
        warm = warm_start(settings, cell.space, cell.base, cell.protocol, begun=begun)
        if warm == COLD and study.user_attrs.get(WARM):
            raise UserError(
                f"{settings.folder / WARM_START} is gone, by which {settings.name} began; restore "
                "a copy of it, or start a new sweep."
            )
        if warm != COLD:
            study.set_user_attr(WARM, True)
        if line := beginning(warm):
            print(f"{settings.name}: {line}", flush=True)
        study.set_user_attr("slots", slots)
        study.set_user_attr("val_size", len(cell.val))
        study.set_user_attr("environment", cell.environment)
        study.set_user_attr("protocol", cell.protocol)
        if cell.costs:
            study.set_user_attr(COSTS, cell.costs)
        searcher = StudySearcher(
            study,
            cell.space,
            cell.base,
            settings.trials,
            planned=settings.planned,
            seed=settings.seed,
            sampler=settings.sampler,
            objectives=settings.objectives,
            budget=settings.budget,
            warm=warm,
            again=f"go on with: {resume([settings])}",
        )
        known = list(searcher.records.values())
        for record in known:
            if record.state != "running":
                tracker.catch_up(record)
        sweep, work = replace(cell.about(slots), warm=warm), cell.work
        keeper = Keeper(settings.folder, work.files, known)
        table = live.add(sweep, known)
        foresight = Foresight(sweep, table.note)
        searcher.observers += [keeper, table, tracker]
        if settings.live_html:
            searcher.observers.append(LiveReport(sweep, known))
        stopping = make_stopping(
            settings.scheduler,
            settings.base.epochs,
            settings.grace_period,
            settings.reduction_factor,
            trials=settings.trials,
            objectives=settings.objectives,
            check=Check(settings.check_rungs, settings.seed),
            spare=searcher.spare,
            exempt=len(warm.first),
        )
        at_once = settings.budget.at_once(settings.base.epochs)
        return cls(cell, sweep, Lane(searcher, stopping, work, at_once), foresight)

    def foresee(self) -> None:
        """Forecast it from its first epochs, if it has trained none."""
        if not self.lane.searcher.records:
            self.lane.searcher.observers.append(self.foresight)

    def trials(self) -> list[TrialRecord]:
        """Its trials so far, in the order of their numbers."""
        records = self.lane.searcher.records
        return [records[number] for number in sorted(records)]


def finish(
    cell: Cell,
    search: Search | None,
    tracker: Tracker,
    outcome: Outcome,
    say: Callable[[str], None] = warn,
) -> SweepResult:
    """Write the report, close what is open, and register the best of a finished sweep.

    None of these is kept from being done by what goes wrong with another. `search` is None where
    the sweep was interrupted before it began to search, or went on with it.
    """
    trials = search.trials() if search else tried(cell.settings.folder)
    for record in trials:
        if record.state == "running":
            tracker.catch_up(record)
    found = Findings.load(cell.settings.folder)
    again = confirming(cell.settings.folder)
    result = SweepResult(search.sweep if search else cell.about(), trials, found, again)
    name = cell.settings.name
    with attempted(f"The report of {name} is not written", report_again(result.sweep), say):
        tracker.attach(write_report(result))
    written = tracker.close(outcome)
    if cell.base.saw_val:
        say(f"{name} does not stand for its cell in tuning.best: {SAW_VAL[0].lower()}{SAW_VAL[1:]}")
    elif result.best is not None and outcome == "finished" and written:
        with attempted(f"The best of {name} is not registered", resume([cell.settings]), say):
            promote_result(result, cell.store())
    return result
