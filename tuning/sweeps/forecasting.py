"""What sweeps will take: measured before they begin, and forecast again from their first epochs."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from statistics import fmean
from typing import NamedTuple

from kd.data.names import DOWNLOADED, DatasetName, data_root
from kd.errors import UserError
from kd.screen import is_silent
from kd.text import visible
from search_spaces import Space
from tuning.engine.packing import share_of
from tuning.engine.runtime import elsewhere, local_gpus, this_machine
from tuning.engine.share import Share
from tuning.engine.trying import SET_UP, TELL, Tried, UntriedError, try_out
from tuning.records.forecast import Band, Forecast, confirming
from tuning.records.plan import fewest_epochs, print_plan
from tuning.records.result import Sweep
from tuning.records.settings import SweepSettings
from tuning.records.teaching import called
from tuning.reports import forecast as words
from tuning.reports.files import attempted
from tuning.reports.wording import duration
from tuning.study.budget import HOUR
from tuning.study.expected import CALM, Pace, doubt
from tuning.study.trials import TrialRecord
from tuning.sweeps.pace import known_pace

BESIDE = "Ray, MLflow and the report take some 10 to 25 s beside it"


def dry_run(settings: SweepSettings, space: Space) -> Band | None:
    """Say what a sweep will do, and what it will take, for which it trains here for a moment.

    The seconds of all of it; None where its pace is not measured.
    """
    gpus = local_gpus()
    print_plan(settings, space, gpus=bool(gpus or elsewhere()))
    try:
        found = _found(settings)
    except (UntriedError, UserError) as error:
        print(f"its pace is not measured: {visible(str(error)).rstrip('.')[:200]}")
        if settings.trials is not None:
            print(words.epochs(Forecast.of(settings, Pace(epoch=1.0), 1, 0.0)))
        if settings.confirm:
            print(_confirming(settings))
        return None
    tried, slots = found.tried, found.slots
    at_once = f"{slots} trials at once" if slots > 1 else "one trial at a time"
    seeds = settings.seeds_per_trial
    of = f" of {seeds} seeds" if seeds > 1 else ""
    print(f"{found.how}: {tried.trials.epoch:.2g} s an epoch{of}, {at_once}; so it will take")
    forecast = Forecast.of(settings, tried.trials, slots, found.gpus)
    print(*words.lines(forecast), words.starting(forecast, tried.trials, slots), sep="\n")
    parts = [forecast.seconds, *_teachers(settings, tried)]
    if settings.confirm:
        print(_confirming(settings, tried.trials, slots))
        least, most = _confirmed_in(settings, tried.trials, slots)
        for line in _too_short(settings, found):
            print(line)
        if not settings.bounded:
            parts.append(Band(least, (least + most) / 2, most))
    if found.packs:
        print("  less where several trials share a GPU, which is measured when it starts")
    print(f"  {BESIDE}")
    if tried.hurried:
        print("  the band is this wide because the machine is too busy for the whole measurement")
    elif tried.trials.doubt > 2 * CALM:
        print(f"  the band is this wide because other programs run here too, or {found.doubt}")
    return _sum(parts)


def summed(parts: Sequence[Band | None]) -> Band | None:
    """The seconds of several sweeps; None where the pace of some is not measured."""
    known = [part for part in parts if part is not None]
    return _sum(known) if len(known) == len(parts) else None


def together(total: Band | None, what: str = "All") -> str:
    """What several sweeps take, one after the other."""
    if total is None:
        return f"{what} together: not known, as the pace of some is not measured."
    return f"{what} together, one after the other: {words.banded(total, duration)}"


def _sum(parts: Sequence[Band]) -> Band:
    return Band(*map(sum, zip(*parts, strict=True)))


class _Found(NamedTuple):
    """The pace of a search, how it was found, and what else than the machine makes it doubtful.

    `packs` says whether several of its trials may come to share a GPU.
    """

    how: str
    tried: Tried
    slots: int
    gpus: float
    doubt: str = "because evaluating on val takes too long to be tried out"
    packs: bool = False


def _found(settings: SweepSettings) -> _Found:
    """The pace as an earlier sweep tells it, else measured.

    Raises:
        UntriedError: it can be neither.
        UserError: this machine has no room for a trial.
    """
    if elsewhere():
        raise UntriedError("the search would run on other machines")
    share = share_of(settings, [this_machine()])
    if (known := known_pace(settings, share)) is not None:
        how, slots = f"pace known from {known.sweep}", settings.at_once(known.slots)
        doubt = "because that sweep's epochs took very different times"
        return _Found(how, Tried(known.pace), slots, known.gpus, doubt)
    if (why := _unmeasurable(settings)) is not None:
        raise UntriedError(why)
    slots = settings.at_once(share.slots)
    tried, packs = _tried(settings, share, slots), settings.packed and share.gpus > 0
    return _Found("measured here", tried, slots, share.gpus, packs=packs)


def _teachers(settings: SweepSettings, tried: Tried) -> Iterator[Band]:
    """What is trained before the search, which is said, a line each."""
    base = settings.base
    for ancestor, pace in zip_longest(base.ancestors, tried.teachers):
        epochs, name = ancestor.recipe.epochs, called(base, ancestor)
        if pace is None:
            print(f"  before it, {name}: {epochs} epochs, whose pace is not measured")
            continue
        seconds, spread = pace.start + epochs * pace.epoch, 2 * pace.doubt
        band = Band(seconds * max(1 - spread, 0.0), seconds, seconds * (1 + spread))
        print(f"  before it, {name}: {epochs} epochs, {words.banded(band, duration)}")
        yield band


def _confirming(settings: SweepSettings, pace: Pace | None = None, slots: int = 1) -> str:
    """What confirming takes, from where all candidates are dropped at once to all seeds."""
    least, most = confirming(settings)
    said = f"  after it, confirming: {least} to {most} epochs"
    if pace is not None:
        said += f", {' to '.join(map(duration, _confirmed_in(settings, pace, slots)))}"
    return said + (", within the same bounds" if settings.bounded else "")


def _confirmed_in(
    settings: SweepSettings, pace: Pace, slots: int, epochs: Sequence[int] = ()
) -> list[float]:
    """The same in seconds, or so many `epochs`; its trainings are of one seed each."""
    whole = pace.epoch + (pace.trial + pace.before) / settings.base.epochs
    each = whole / settings.seeds_per_trial / slots
    return [pace.start + count * each for count in epochs or confirming(settings)]


def _too_short(settings: SweepSettings, found: _Found) -> Iterator[str]:
    """That of a bound in hours no half, which is all that confirming may have, can prove anything.

    Of one in epochs the plan says so itself.
    """
    (least,) = _confirmed_in(settings, found.tried.trials, found.slots, [fewest_epochs(settings)])
    hours = {"hours": least / HOUR, "GPU-hours": least / HOUR * found.slots * found.gpus}
    for bound in settings.budget.bounds(()):
        if bound.most / 2 < hours.get(bound.unit, 0.0):
            yield (
                f"  half of {bound.most:g} {bound.unit} is too little to prove anything, which "
                f"takes {duration(least)} at least: give more, or confirm afterwards "
                "without a bound"
            )


def _tried(settings: SweepSettings, share: Share, slots: int) -> Tried:
    """The pace of its trials; of one GPU alone where there are some."""
    at_once = slots if not share.gpus else max(1, int(1 / share.gpus + 1e-9))
    device = "cuda" if share.gpus else "cpu"
    return try_out(
        # As trial 0 has it, with what --set says.
        next(settings.space().extremes(settings.base)),
        settings.data_root,
        slots=at_once,
        cpus=share.cpus,
        device=device,
        seeds=settings.seeds_per_trial,
    )


def _unmeasurable(settings: SweepSettings) -> str | None:
    """Why a sweep cannot be tried out here; None where it can."""
    if settings.workers_per_trial > 1:
        return "a trial of several workers is not tried out"
    kind = DatasetName.parse(settings.base.dataset).kind
    if kind in DOWNLOADED and not any(data_root(settings.data_root).glob("*")):
        return f"{kind} is not downloaded yet"
    return None


# -- of a search that runs -------------------------------------------------------------------------


class Foresight:
    """An observer that makes the forecast of a search from its first epochs, and keeps it.

    It is made once: of two epochs a slot after the trials' first, which takes longer than the
    others, or when one of them ends. `say` is told of it.
    """

    def __init__(self, sweep: Sweep, say: Callable[[str], None]) -> None:
        self._sweep, self._say = sweep, say
        self._slots = sweep.settings.at_once(sweep.slots)
        self._starts: dict[int, float] = {}
        self._epochs: list[float] = []
        self._before = 0.0
        self._gpus = 0.0
        self._thread: threading.Thread | None = None

    def on_start(self, trial: TrialRecord) -> None:
        """Nothing is known yet."""

    def on_epoch(self, trial: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """Learn how long an epoch takes."""
        if self._thread or "epoch_seconds" not in metrics:
            return
        self._gpus = trial.gpus
        if epoch == 1:
            self._before = max(self._before, metrics.get("before_seconds", 0.0))
            waited = time.time() - trial.spans[-1][0] - metrics.get("before_seconds", 0.0)
            self._starts.setdefault(trial.number, waited - metrics["epoch_seconds"])
        if epoch > 1 or self._sweep.epochs == 1:
            self._epochs.append(metrics["epoch_seconds"] + TELL)
        if len(self._epochs) >= 2 * self._slots:
            self._make()

    def on_end(self, trial: TrialRecord) -> None:
        """Nothing more will be learnt of it."""
        if self._epochs and not self._thread:
            self._make()

    def wait(self) -> None:
        """Until it is kept, if it is being made."""
        if self._thread:
            self._thread.join()

    def _make(self) -> None:
        first = list(self._starts.values())[: self._slots]
        start = max(fmean(first) - SET_UP, 0.0) if first else 0.0
        pace = Pace(
            epoch=fmean(self._epochs),
            trial=SET_UP,
            start=start,
            before=self._before,
            shared=self._sweep.settings.base.kd.beginning is not None,
            doubt=doubt(self._slots),
        )
        # A large search is simulated for some seconds, in which trials would wait.
        self._thread = threading.Thread(target=self._keep, args=(pace,), daemon=True)
        self._thread.start()

    def _keep(self, pace: Pace) -> None:
        with attempted("The forecast is not kept", say=self._say):
            sweep = self._sweep
            forecast = Forecast.of(sweep.settings, pace, self._slots, self._gpus)
            forecast.keep(sweep.folder)
            if not is_silent():  # which is for the thread that called, and this is another
                self._say(words.short(forecast))
