"""One sweep among those that run together: its images, its study, its observers, its result."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from kd.config import TrainConfig
from kd.data import Images
from kd.data.split import train_val
from kd.errors import UserError
from search_spaces import Space
from tuning.engine.lanes import Lane
from tuning.engine.trial import TrialFiles, Work
from tuning.records.keeper import Keeper
from tuning.records.protocol import cell_name, environment, protocol
from tuning.records.result import Sweep, SweepResult
from tuning.records.settings import SEARCH, STUDY, SweepSettings
from tuning.reports.files import write_report
from tuning.reports.live_page import LiveReport
from tuning.reports.live_table import LiveTables
from tuning.study.journal import open_study
from tuning.study.searcher import ListSearcher, StudySearcher
from tuning.study.stopping import make_scheduler
from tuning.study.trials import Observer
from tuning.tracking.registry import promote
from tuning.tracking.runs import Outcome
from tuning.tracking.store import Store
from tuning.tracking.tracker import Tracker

TEACHER_STUDY, TEACHER = "teacher.log", "teacher.safetensors"


def read_teacher(folder: Path, config: TrainConfig) -> bytes | None:
    """The file of the teacher of a sweep in `folder`: its own one, or the one that it was given.

    None for a method without a teacher; UserError where the file cannot be read.
    """
    if not config.needs_teacher:
        return None
    path = folder / TEACHER if (folder / TEACHER).exists() else Path(config.teacher.weights or "")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"The teacher {path} cannot be read: {error.strerror}; put it back, or start a new "
            "sweep with another --teacher."
        ) from None


class Cell:
    """A sweep over one (method, backbone, data set), ready to run once Ray is up."""

    def __init__(self, settings: SweepSettings, space: Space, images: Images) -> None:
        self.settings = settings
        self.base = settings.base
        self.space = space
        self.train, self.val = train_val(images, self.base.split)
        self._slots = 1
        self._searcher: StudySearcher | None = None
        self._teaching: StudySearcher | None = None
        self._store = Store.at(settings.storage, settings.tracking_uri)
        self._protocol = protocol(self.base)
        self._environment = environment()
        fixed = {f"fixed.{name}": value for name, value in settings.fixed.items()}
        self.tracker = Tracker(
            self._store,
            cell_name(self.base.method, self.base.backbone, self.base.dataset),
            settings.name,
            protocol=self._protocol | self._environment,
            params=self.base.flat() | fixed,
            searched=tuple(space.domains),
        )

    # -- the teacher --------------------------------------------------------------------------

    @property
    def _teacher(self) -> Path:
        return self.settings.folder / TEACHER

    @property
    def _teacher_files(self) -> TrialFiles:
        return TrialFiles(shelf=self.settings.shelf, study="teacher")

    def teacher_lane(self, opened: ExitStack, live: LiveTables) -> Lane | None:
        """A study of one trial, the teacher's training; None where there is nothing to train."""
        if not self.base.needs_teacher or self.base.teacher.weights is not None:
            return None
        if self._teacher.exists() or self._teacher_files.take_student(0, self._teacher):
            return None
        recipe, path = self.base.teacher_recipe(), self.settings.folder / TEACHER_STUDY
        study = opened.enter_context(open_study(path, "teacher", create=not path.exists()))
        observers: list[Observer] = []
        searcher = ListSearcher(study, [recipe], observers=observers)
        about = replace(self.settings, base=recipe, trials=1, scheduler="none")
        observers.append(live.add(Sweep(settings=about, searched={}), searcher.records.values()))
        self._teaching = searcher
        return Lane(
            searcher,
            make_scheduler("none", recipe.epochs),
            Work(self.train, self.val, self._teacher_files),
        )

    def adopt_teacher(self) -> None:
        """Let every trial learn from the teacher's weights; UserError if it was not trained."""
        if not self.base.needs_teacher or self.base.teacher.weights is not None:
            return
        if self._teaching is not None:
            self._teacher_files.take_student(0, self._teacher)
            self._teacher_files.discard(0)
        if not self._teacher.exists():
            reason = self._teaching.records[0].reason if self._teaching else "it never began"
            raise UserError(f"The teacher could not be trained: {reason}; try another --teacher.")
        weights = str(self._teacher)
        self.base = replace(self.base, teacher=replace(self.base.teacher, weights=weights))

    # -- the search ---------------------------------------------------------------------------

    @property
    def work(self) -> Work:
        """What the search's trials train on; once the teacher is there."""
        files = TrialFiles(shelf=self.settings.shelf, study="trial")
        teacher = read_teacher(self.settings.folder, self.base)
        return Work(self.train, self.val, files, teacher)

    def search_lane(self, opened: ExitStack, live: LiveTables, slots: int) -> Lane:
        """The sweep's own study, from its beginning or from where it was interrupted."""
        settings, path = self.settings, self.settings.folder / STUDY
        self._slots, work = slots, self.work
        study = opened.enter_context(open_study(path, SEARCH, create=not path.exists()))
        study.set_user_attr("slots", slots)
        study.set_user_attr("val_size", len(self.val))
        study.set_user_attr("environment", self._environment)
        study.set_user_attr("protocol", self._protocol)
        observers: list[Observer] = []
        self._searcher = StudySearcher(
            study, self.space, self.base, settings.trials, seed=settings.seed, observers=observers
        )
        known = list(self._searcher.records.values())
        keeper = Keeper(settings.folder, work.files, known)
        for record in known:
            if record.state != "running":
                self.tracker.catch_up(record)
        observers += [keeper, live.add(self._about(), known), self.tracker]
        if settings.live_html:
            observers.append(LiveReport(self._about(), known))
        scheduler = make_scheduler(
            settings.scheduler, self.base.epochs, settings.grace_period, settings.reduction_factor
        )
        return Lane(self._searcher, scheduler, work)

    def _about(self) -> Sweep:
        return Sweep(
            settings=self.settings,
            searched=self.space.domains,
            slots=self._slots,
            val_size=len(self.val),
            protocol=self._protocol,
            environment=self._environment,
        )

    # -- the result ---------------------------------------------------------------------------

    def finish(self, outcome: Outcome) -> SweepResult:
        """Close what is open, write the report, and register the best of a finished sweep."""
        records = self._searcher.records if self._searcher else {}
        trials = [records[number] for number in sorted(records)]
        result = SweepResult(self._about(), trials)
        try:
            self.tracker.attach(write_report(result))
        except UserError as error:
            print(f"The report of {self.settings.name} is not written: {error}")
        self.tracker.close(outcome)
        if result.best is not None and outcome == "finished":
            self._promote(result)
        return result

    def _promote(self, result: SweepResult) -> None:
        best = result.best
        assert best is not None
        try:
            promote(
                self._store,
                TrainConfig.from_dict(best.config),
                score=best.score or 0.0,
                protocol=self._protocol,
                sweep=self.settings.name,
                trial=best.number,
                trials=len(result.trials),
            )
        except UserError as error:
            print(f"The best configuration is in its folder, but not registered: {error}")
