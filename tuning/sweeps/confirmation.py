"""A sweep's best configurations and the paper's default again, each on the same new seeds.

A search looks at val many times, so its winner's val accuracy flatters it. Who is better than the
default is decided by a race on seeds that the search has not seen (`study/race`); only then the
test set is opened, once, for what is handed out and for the default.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from kd.config import TrainConfig
from kd.data import Dataset, Images, open_dataset
from kd.data.split import train_val
from kd.errors import UserError
from kd.origin import Origin
from tuning.engine.guard import guarded
from tuning.engine.memory import check_memories
from tuning.engine.packing import packing
from tuning.engine.run import run_trials
from tuning.engine.runtime import connected
from tuning.engine.share import Share
from tuning.engine.trial import Work
from tuning.records.findings import Findings, Opening, one_line
from tuning.records.plan import compiles
from tuning.records.result import SweepResult, load_result
from tuning.records.settings import PUT_BACK, SweepSettings
from tuning.reports.live_table import LiveTables
from tuning.reports.wording import count
from tuning.storage.trial_files import TrialFiles
from tuning.study.listing import RaceSearcher
from tuning.study.race import Race
from tuning.study.trials import REFERENCE, TrialRecord
from tuning.sweeps.candidates import PLAN, Asked, Plan, check_asked, planned
from tuning.sweeps.handing_out import REFIT, hand_out_confirmed, mend, register, study_of
from tuning.sweeps.listed import open_list, open_race
from tuning.sweeps.signals import heard, held
from tuning.sweeps.teacher import read_teachers


def confirm_sweep(settings: SweepSettings, asked: Asked) -> Findings | None:
    """Let the candidates race, open the test set, keep and hand out what was found.

    What was found before is handed out again. None if it was interrupted before the test set was
    opened.

    Raises:
        UserError: what is asked for cannot be, the images or the teacher are not the sweep's, or
            a training failed.
    """
    result = load_result(settings.storage, settings.name)
    known = result.findings
    check_asked(result, asked)
    if known and (asked.again is None or known.noted(asked.again)):
        mend(settings, result, known)
        return known
    Findings.check_place(settings.folder)
    openings = (known.openings or (Opening(when=""),)) if known else ()
    study = study_of(len(openings) + 1)
    plan = planned(result, asked, study)
    with held():
        found = _confirm(result, settings, asked, plan, study, openings)
    if found is not None:
        register(settings, found)
    return found


def _confirm(
    result: SweepResult,
    settings: SweepSettings,
    asked: Asked,
    plan: Plan,
    study: str,
    openings: tuple[Opening, ...],
) -> Findings | None:
    configs = {t.number: TrainConfig.from_dict(t.config) for t in result.trials}
    chosen = {number: configs[number] for number in plan.trials}
    # New seeds: the search has seen what its own does to these configurations.
    # Those of a race before may have been trained beyond where it was decided.
    first, known = settings.base.seed + 1, result.findings
    if known:
        first = known.seeds[0] + max(known.most, len(known.seeds))
    seeds = tuple(range(first, first + plan.seeds))
    dataset = open_dataset(settings.base.dataset, settings.data_root, PUT_BACK)
    teachers = read_teachers(settings.folder, chosen[REFERENCE])
    now = Origin.of(dataset.train.digest, teachers)
    Origin.load(settings.folder).require(now, settings.name, "start a new sweep")
    train, val = train_val(dataset.train, settings.base.split)
    whole = None
    if asked.refit:
        whole, _ = train_val(dataset.train, replace(settings.base.split, train_on_val=True))
    work = Work(train, val, TrialFiles(shelf=settings.shelf, study=study), teachers)
    print(
        f"{settings.name}: {count(len(chosen) - 1, 'candidate')} and the paper's default on at "
        f"most {count(len(seeds), 'seed')} each, {count(configs[REFERENCE].epochs, 'epoch')}"
    )
    times = "once" if not openings else "once more"
    print(f"Then the test set is opened, {times}, for what is handed out and for the default.")
    print("Starting Ray and its workers …", flush=True)
    try:
        raced = _train(settings, plan, chosen, seeds, work, whole)
    except KeyboardInterrupt:
        return None
    numbers = dict.fromkeys((REFERENCE, raced.race.winner))
    students = {number: raced.students(number, work.files) for number in numbers}
    when = datetime.now(UTC).isoformat(timespec="seconds")
    opening = Opening(when=when, note=one_line(asked.again or ""))
    test, again = _open_test(dataset, work.files, students, raced.refit)
    findings = Findings(
        sweep=settings.name,
        winner=raced.race.winner,
        seeds=seeds[: raced.race.seeds],
        config=chosen[raced.race.winner].to_dict(),
        val_acc=raced.scores(),
        test=test,
        refit=again,
        most=plan.seeds,
        openings=(*openings, opening),
    )
    if known:
        known.save(settings.folder, len(openings))
    findings.save(settings.folder)
    hand_out_confirmed(settings, findings)
    return findings


class Raced(NamedTuple):
    """A race that is over, and its trainings by candidate and the place of their seed.

    `refit` holds the student of its winner that learned from val too, as trial 0.
    """

    race: Race
    trained: Mapping[tuple[int, int], TrialRecord]
    refit: TrialFiles | None = None

    def scores(self) -> dict[int, list[float]]:
        """Val accuracies in percent by candidate, one for each seed that was decided upon."""
        found: dict[int, list[float]] = {REFERENCE: [], **{n: [] for n in self.race.standings}}
        for (number, place), record in sorted(self.trained.items()):
            standing = self.race.standings.get(number)
            if place < (standing or self.race).seeds and not record.diverged:
                found[number].append(record.score or 0.0)
        return found

    def students(self, number: int, files: TrialFiles) -> list[str]:
        """The names of the students of one candidate, one a seed."""
        return [files.student(self.trained[number, p].number) for p in range(self.race.seeds)]


def _train(
    settings: SweepSettings,
    plan: Plan,
    chosen: Mapping[int, TrainConfig],
    seeds: Sequence[int],
    work: Work,
    whole: Images | None,
) -> Raced:
    """The race to its end, and its winner on the `whole`; goes on where it was interrupted."""
    live = LiveTables()
    with ExitStack() as opened:
        again = "type the same again."
        lane, searcher = open_race(settings, chosen, seeds, work, opened, live, again=again)
        searcher.study.set_user_attr(PLAN, plan._asdict())
        racing = searcher.standing.racing and searcher.failed is None
        if racing or whole is not None:
            nodes = opened.enter_context(connected(mps=settings.mps_wanted))
            opened.enter_context(heard())
            opened.enter_context(guarded("the same command goes on"))
            tried = list(chosen.values())
            found = packing(settings, nodes, [(config, work) for config in tried])
            check_memories([(config, work) for config in tried], found.share, len(nodes))
            compiled = compiles(
                settings,
                steps=math.ceil(len(work.train) / tried[0].batch_size),
                epochs=len(seeds) * sum(config.epochs for config in tried),
                gpus=found.share.gpus,
                slots=found.share.slots,
                rate=found.rates[0],
            )
            lane = replace(lane, work=replace(lane.work, compiled=compiled))
            if racing:
                with live:
                    run_trials([lane], found.share, settings.folder)
            raced = _over(searcher, work.files.study)
            if whole is not None:
                last = replace(lane.work, train=whole)
                config = replace(chosen[raced.race.winner], seed=seeds[0])
                raced = raced._replace(refit=_refit(settings, config, last, found.share))
            return raced
        return _over(searcher, work.files.study)


def _refit(settings: SweepSettings, config: TrainConfig, work: Work, share: Share) -> TrialFiles:
    """Train `config` on val too; where its student lies, as trial 0."""
    config = replace(config, split=replace(config.split, train_on_val=True))
    files = replace(work.files, study=f"{work.files.study}{REFIT}")
    live = LiveTables()
    with ExitStack() as opened:
        work, again = replace(work, files=files), "type the same again."
        called = "the last student, on val too"
        lane = open_list(
            settings, [config], work, opened, live, names=lambda _: called, again=again
        )
        with live:
            run_trials([lane], share, settings.folder)
        record = lane.searcher.records[0]
    if record.state != "completed":
        raise UserError(
            f"The last student did not complete ({record.reason}); type the same without --refit."
        )
    return files


def _over(searcher: RaceSearcher, study: str) -> Raced:
    if (failed := searcher.failed) is not None:
        number, _ = searcher.pair(failed)
        name = "The paper's default" if number == REFERENCE else f"Trial {number}"
        raise UserError(
            f"{name} did not complete again on seed {failed.config['seed']} ({failed.reason}), so "
            f"nothing is confirmed; delete {study}.log to try again."
        )
    return Raced(searcher.standing, searcher.trained)


def _open_test(
    dataset: Dataset,
    files: TrialFiles,
    students: Mapping[int, Sequence[str]],
    refit: TrialFiles | None,
) -> tuple[dict[int, list[dict[str, float]]], dict[str, float] | None]:
    """The test scores of the students of each trial, by its number, and of the last one."""
    from kd.training.checkpoint import load_weights
    from kd.training.evaluate import test_scores
    from kd.training.trainer import Place

    test, device = dataset.load_test(), Place.local().device

    def scores(own: TrialFiles, name: str) -> dict[str, float]:
        with own.shelf.fetched(name) as path:
            student, about = load_weights(path)
        return test_scores(student, test, (tuple(about["mean"]), tuple(about["std"])), device)

    found = {number: [scores(files, name) for name in names] for number, names in students.items()}
    return found, scores(refit, refit.student(0)) if refit else None
