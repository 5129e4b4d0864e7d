"""A sweep's best configurations and the paper's default again, each on the same new seeds.

A search looks at val many times, so its winner's val accuracy flatters it. The best of the
candidates by mean val accuracy on seeds that the search has not seen is the winner; and only
then the test set is opened, once, for the winner and the default.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from statistics import fmean
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
from tuning.engine.trial import Work
from tuning.records.findings import FILE, Findings, mean_deviation
from tuning.records.plan import compiles
from tuning.records.protocol import cell_name
from tuning.records.result import SweepResult
from tuning.records.settings import PUT_BACK, SweepSettings
from tuning.reports.live_table import LiveTables
from tuning.reports.wording import count
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import study_facts
from tuning.study.trials import REFERENCE, TrialRecord
from tuning.sweeps.listed import open_list
from tuning.sweeps.signals import heard
from tuning.sweeps.teacher import read_teachers
from tuning.tracking.registry import mark_confirmed
from tuning.tracking.seeds import log_seeds
from tuning.tracking.store import Store

STUDY = "confirm"
PLAN = "plan"
"""The attribute of its study that keeps what was asked for."""


class Pair(NamedTuple):
    """A trial of the sweep, and its configuration with one of the new seeds."""

    number: int
    config: TrainConfig

    @property
    def name(self) -> str:
        """What the live table calls it."""
        trial = "the paper's default" if self.number == REFERENCE else f"trial {self.number}"
        return f"{trial}, seed {self.config.seed}"


def candidates(result: SweepResult, top: int) -> dict[int, TrainConfig]:
    """The default and the `top` best other completed trials, by number.

    Raises:
        UserError: no trial but the default completed.
    """
    done = [t for t in result.of("completed") if t is not result.default]
    best = sorted(done, key=lambda t: (-(t.score or 0.0), t.number))[:top]
    if result.default is None or not best:
        raise UserError(
            f"{result.sweep.name} has no completed trial beside the paper's default; search on, "
            f"with --resume {result.sweep.name} --trials {len(result.trials) + 4}."
        )
    return {t.number: TrainConfig.from_dict(t.config) for t in (result.default, *best)}


class Plan(NamedTuple):
    """What was asked for, and the numbers of the trials that it meant when it was begun."""

    top: int
    seeds: int
    trials: tuple[int, ...]


def planned(result: SweepResult, top: int, seeds: int) -> Plan:
    """The `top` best trials and the default, or those that a confirmation was begun with.

    One that was begun keeps its trials, though a better one may have come since, and may be
    given more seeds.

    Raises:
        UserError: another number of trials, or fewer seeds, than it was begun with; or no trial
            but the default completed.
    """
    asked = Plan(top, seeds, tuple(candidates(result, top)))
    begun = study_facts(result.sweep.folder / f"{STUDY}.log", STUDY)
    if PLAN not in begun:
        return asked
    plan = Plan(**begun[PLAN])
    if top != plan.top or seeds < plan.seeds:
        raise UserError(
            f"Confirming {result.sweep.name} began with --top {plan.top} --seeds {plan.seeds}; "
            "type these again, or more seeds."
        )
    if (trials := tuple(plan.trials)) != asked.trials:
        print(f"The search went on since; confirming goes on with trials {list(trials)}.")
    return asked._replace(trials=trials)


def confirm_sweep(result: SweepResult, settings: SweepSettings, plan: Plan) -> Findings | None:
    """Train what the `plan` says on new seeds, open the test set, and keep what was found.

    None if it was interrupted before the test set was opened.

    Raises:
        UserError: the images or the teacher are not the sweep's, or a configuration did not
            complete on every seed.
    """
    configs = {t.number: TrainConfig.from_dict(t.config) for t in result.trials}
    chosen = {number: configs[number] for number in plan.trials}
    # New seeds: the search has seen what its own does to these configurations.
    seeds = tuple(settings.base.seed + 1 + i for i in range(plan.seeds))
    pairs = [Pair(n, replace(config, seed=s)) for s in seeds for n, config in chosen.items()]
    dataset = open_dataset(settings.base.dataset, settings.data_root, PUT_BACK)
    teachers = read_teachers(settings.folder, chosen[REFERENCE])
    now = Origin.of(dataset.train.digest, teachers)
    Origin.load(settings.folder).require(now, settings.name, "start a new sweep")
    train, val = train_val(dataset.train, settings.base.split)
    files = TrialFiles(shelf=settings.shelf, study=STUDY)
    work = Work(train, val, files, teachers)
    print(
        f"{settings.name}: {count(len(chosen), 'configuration')} on {count(len(seeds), 'seed')} "
        f"each, {count(configs[REFERENCE].epochs, 'epoch')}"
    )
    print("Starting Ray and its workers …", flush=True)
    try:
        records = _train(settings, plan, pairs, work)
    except KeyboardInterrupt:
        return None
    val_acc = _val_accuracies(pairs, records)
    winner = max((n for n in chosen if n != REFERENCE), key=lambda n: (fmean(val_acc[n]), -n))
    students = {
        number: [files.student(i) for i, pair in enumerate(pairs) if pair.number == number]
        for number in (REFERENCE, winner)
    }
    test = _open_test(dataset, train, files, students)
    findings = Findings(
        sweep=settings.name,
        winner=winner,
        seeds=seeds,
        config=chosen[winner].to_dict(),
        val_acc=val_acc,
        test=test,
    )
    findings.save(settings.folder)
    # Not before: without them nothing could be told again.
    for index in range(len(pairs)):
        files.discard(index)
    return findings


def _train(
    settings: SweepSettings, plan: Plan, pairs: Sequence[Pair], work: Work
) -> list[TrialRecord]:
    """What became of every pair, in their order; goes on where it was interrupted."""
    configs = [pair.config for pair in pairs]
    live = LiveTables()
    names = [pair.name for pair in pairs]
    with ExitStack() as opened:
        again = "type the same again."
        lane = open_list(settings, configs, work, opened, live, names=names, again=again)
        lane.searcher.study.set_user_attr(PLAN, plan._asdict())
        nodes = opened.enter_context(connected(mps=settings.mps_wanted))
        opened.enter_context(heard())
        opened.enter_context(guarded("the same command goes on"))
        tried = {pair.number: pair.config for pair in pairs}.values()
        found = packing(settings, nodes, [(config, work) for config in tried])
        check_memories([(config, work) for config in tried], found.share, len(nodes))
        compiled = compiles(
            settings,
            steps=math.ceil(len(work.train) / configs[0].batch_size),
            epochs=sum(config.epochs for config in configs),
            gpus=found.share.gpus,
            slots=found.share.slots,
            rate=found.rates[0],
        )
        lane, part = replace(lane, work=replace(lane.work, compiled=compiled)), found.share
        with live:
            run_trials([lane], part, settings.folder)
    return [lane.searcher.records[index] for index in range(len(pairs))]


def _val_accuracies(
    pairs: Sequence[Pair], records: Sequence[TrialRecord]
) -> dict[int, list[float]]:
    """Val accuracies in percent by the trial's number, one a seed."""
    found: dict[int, list[float]] = {}
    for pair, record in zip(pairs, records, strict=True):
        if record.state != "completed":
            raise UserError(
                f"Trial {pair.number} did not complete again on every seed ({record.reason}), so "
                f"nothing is confirmed; delete {STUDY}.log to try again."
            )
        found.setdefault(pair.number, []).append(record.score or 0.0)
    return found


def _open_test(
    dataset: Dataset, train: Images, files: TrialFiles, students: Mapping[int, Sequence[str]]
) -> dict[int, list[dict[str, float]]]:
    """The test scores of the students of each trial, by its number."""
    from kd.data.device_loader import statistics
    from kd.training.checkpoint import load_weights
    from kd.training.evaluate import test_scores
    from kd.training.trainer import Place

    test, device, normalise = dataset.load_test(), Place.local().device, statistics(train)

    def scores(name: str) -> dict[str, float]:
        with files.shelf.fetched(name) as path:
            return test_scores(load_weights(path)[0], test, normalise, device)

    return {number: [scores(name) for name in names] for number, names in students.items()}


def record(settings: SweepSettings, findings: Findings) -> None:
    """Write what was found to MLflow; where that cannot be done, say so."""
    store = Store.at(settings.storage, settings.tracking_uri)
    base, winner = settings.base, findings.winner
    cell = cell_name(base.method, base.backbone, base.dataset)
    seeds = [
        (number, seed, {"val_acc": val, **found})
        for number, scores in findings.test.items()
        for seed, val, found in zip(findings.seeds, findings.val_acc[number], scores, strict=True)
    ]
    try:
        words = f"test {mean_deviation(findings.test_acc(winner))}"
        mark_confirmed(store, cell, settings.name, winner, words)
        log_seeds(store, cell, settings.name, seeds)
    except UserError as error:
        print(f"The result is in {FILE}, but not in MLflow: {error}")
