"""A sweep's best configurations and the paper's default again, each on the same new seeds.

A search looks at val many times, so its winner's val accuracy flatters it. Who is better than the
default is decided by a race on seeds that the search has not seen (`study/race`); only then the
test set is opened, once, for what is handed out and for the default.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple

from kd.backbones.sent import code_of
from kd.config import SEEDS as MOST_SEEDS
from kd.config import TrainConfig, networks_of
from kd.data import Images, open_dataset
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
from tuning.records.findings import Findings, IncompleteError, Opening
from tuning.records.plan import compiles
from tuning.records.result import SweepResult, load_result
from tuning.records.settings import PUT_BACK, SweepSettings
from tuning.reports.confirmed import ended_early
from tuning.reports.live_table import LiveTables
from tuning.reports.wording import count
from tuning.storage.claim import claimed
from tuning.storage.trial_files import TrialFiles
from tuning.study.budget import Budget
from tuning.study.listing import RaceSearcher
from tuning.study.race import SEEDS, Race
from tuning.study.trials import REFERENCE, TrialRecord
from tuning.sweeps.candidates import PLAN, Asked, Plan, check_asked, planned
from tuning.sweeps.handing_out import REFIT, hand_out_confirmed, mend, register, show, study_of
from tuning.sweeps.listed import open_list, open_race
from tuning.sweeps.opening import begin_opening, check_opening, end_opening, open_test
from tuning.sweeps.signals import heard, held, listen
from tuning.sweeps.teacher import read_teachers


class SpentError(Exception):
    """What a search may spend was spent before the race was decided; says how it stands."""


def confirm_sweep(
    settings: SweepSettings, asked: Asked, *, bounded: bool = False
) -> Findings | None:
    """Let the candidates race, open the test set, keep and hand out what was found.

    What was found before is handed out again. None if it was interrupted before the test set was
    opened. Where it is `bounded`, the race ends when it has spent the sweep's budget, together with
    the search.

    Raises:
        SpentError: it ended so, and nothing was better than the default by then. The test set is
            still sealed, and the race may go on.
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
    check_opening(settings.folder, study, asked.again or "")
    plan = planned(result, asked, study)
    with held(), claimed(settings.folder):
        budget = replace(settings.budget, confirming=0, seeds=1) if bounded else None
        try:
            found = _confirm(result, settings, asked, plan, study, openings, budget)
        except SpentError:
            show(settings)
            raise
    if found is None:
        show(settings)
    else:
        register(settings, found)
    return found


def _confirm(
    result: SweepResult,
    settings: SweepSettings,
    asked: Asked,
    plan: Plan,
    study: str,
    openings: tuple[Opening, ...],
    budget: Budget | None,
) -> Findings | None:
    configs = {t.number: TrainConfig.from_dict(t.config) for t in result.trials}
    chosen = {number: configs[number] for number in plan.trials}
    # New seeds: the search has seen what its own does to these configurations.
    # Those of a race before may have been trained beyond where it was decided.
    first, known = settings.base.seed + 1, result.findings
    if known:
        first = known.seeds[0] + max(known.most, len(known.seeds))
    seeds = tuple((first + n) % MOST_SEEDS for n in range(plan.seeds))
    base, root = settings.base, settings.data_root
    dataset = open_dataset(base.dataset, root, PUT_BACK, base.images)
    teachers = read_teachers(settings.folder, chosen[REFERENCE])
    now = Origin.of(dataset.train.digest, teachers, settings.base)
    Origin.load(settings.folder).require(now, settings.name, "start a new sweep")
    # What is damaged is found before the race, and not when its winner is measured.
    dataset.check_test()
    train, val = train_val(dataset.train, settings.base.split)
    whole = None
    if asked.refit:
        whole, _ = train_val(dataset.train, replace(settings.base.split, train_on_val=True))
    files = TrialFiles(shelf=settings.shelf, study=study)
    work = Work(train, val, files, teachers, code_of(networks_of(settings.base)))
    try:
        listen()
        _announce(settings, plan, again=bool(openings))
        raced = _train(settings, plan, chosen, seeds, work, whole, (budget, result.trials))
        listen()
    except KeyboardInterrupt:
        return None
    _check_decided(raced, plan.seeds)
    winner = raced.race.winner
    students = {n: raced.students(n, work.files) for n in dict.fromkeys((REFERENCE, winner))}
    opening = begin_opening(settings.folder, study, asked.again or "")
    test, again = open_test(dataset, work.files, students, raced.refit)
    findings = Findings(
        sweep=settings.name,
        winner=winner,
        seeds=seeds[: raced.race.seeds],
        config=chosen[winner].to_dict(),
        val_acc=raced.scores(),
        test=test,
        refit=again,
        most=plan.seeds,
        openings=(*openings, opening),
    )
    if known:
        known.save(settings.folder, len(openings))
    findings.save(settings.folder)
    end_opening(settings.folder, study)
    hand_out_confirmed(settings, findings)
    return findings


def _announce(settings: SweepSettings, plan: Plan, *, again: bool) -> None:
    """Say what is trained, and that the test set is opened then."""
    rivals = len(plan.trials) - 1
    who = f"{count(rivals, 'candidate')} and " if rivals else ""
    print(
        f"{settings.name}: {who}the paper's default on at most {count(plan.seeds, 'seed')} each, "
        f"{count(settings.base.epochs, 'epoch')}"
    )
    if rivals and plan.seeds < SEEDS:
        print(f"On fewer than {SEEDS} seeds even a large gain is often not proved.")
    if plan.fill:
        print(f"What is handed out and the default are trained on {plan.fill} seeds in any case.")
    times = "once more" if again else "once"
    print(f"Then the test set is opened, {times}, for what is handed out and for the default.")


class Raced(NamedTuple):
    """A race that is over, and its trainings by candidate and the place of their seed.

    `over` is the bound that ended it, "" where it was decided.
    `refit` holds the student of its winner that learned from val too, as trial 0.
    """

    race: Race
    trained: Mapping[tuple[int, int], TrialRecord]
    over: str
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
    bounded: tuple[Budget | None, Sequence[TrialRecord]],
) -> Raced:
    """The race to its end, and its winner on the `whole`; goes on where it was interrupted.

    `bounded` is what it may spend, and the trials that have spent of it before.
    """
    live = LiveTables()
    with ExitStack() as opened:
        again, (budget, before) = "type the same again.", bounded
        lane, searcher = open_race(
            settings,
            chosen,
            seeds,
            work,
            opened,
            live,
            fill=plan.fill,
            again=again,
            budget=budget,
            before=before,
        )
        searcher.study.set_user_attr(PLAN, plan._asdict())
        racing = searcher.standing.racing and searcher.failed is None and not searcher.over
        if racing or whole is not None:
            print("Starting Ray and its workers …", flush=True)
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


def _check_decided(raced: Raced, most: int) -> None:
    """Say that a bound ended the race; SpentError where that left all of it open."""
    if raced.over:
        said = ended_early(raced.race, most, raced.over)
        if raced.race.winner == REFERENCE:
            raise SpentError(said)
        print(said)


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
        raise IncompleteError(
            f"{name} did not complete again on seed {failed.config['seed']} ({failed.reason}), so "
            f"nothing is confirmed; delete {study}.log to try again."
        )
    over = searcher.over if searcher.standing.racing else ""
    return Raced(searcher.standing, searcher.trained, over)
