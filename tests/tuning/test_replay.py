"""Searches over curves: the same decisions as a sweep's, and what a table is to say."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from scipy import stats
from synthetic import sweep_result

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import load_space
from tuning.engine.lanes import Lane, LaneSearcher, LaneStopping
from tuning.replay import main
from tuning.replaying.generated import Generated
from tuning.replaying.recorded import Recorded
from tuning.replaying.repeats import Drawn, Repeat, repeats
from tuning.replaying.simulate import Course, Moment, Simulated, play, simulate
from tuning.replaying.strategy import Plan, StudyStrategy
from tuning.replaying.summary import mean_of, reached, rows
from tuning.reports.files import TABLES
from tuning.reports.files import tables as report_tables
from tuning.study import sampling
from tuning.study.journal import study_in_memory
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import Check, make_stopping
from tuning.study.trials import best_trial

OLD = Path(__file__).parents[1] / "old" / "runs.tar.gz"
STEPS = Generated("distillation", 0)
EPOCHS = STEPS.base.epochs


class Changed:
    """The curves of `STEPS`, at other paces, or diverging where T is above 4 from epoch 3 on."""

    name, space, base = STEPS.name, STEPS.space, STEPS.base
    truth, best = STEPS.truth, STEPS.best

    def __init__(self, pace: float = 1.0, *, slow: float = 1.0, diverges: bool = False) -> None:
        self.pace, self.slow, self.diverges = pace, slow, diverges

    def curve(self, config: TrainConfig, seed: int) -> np.ndarray:
        curve = STEPS.curve(config, seed)
        if self.diverges and config.kd.temperature > 4:
            curve[2:] = np.nan
        return curve

    def seconds(self, config: TrainConfig) -> float:
        return self.pace * (self.slow if config.kd.temperature > 4 else 1)


def searched(found: Simulated) -> list[tuple]:
    return [(r.number, r.config, r.state, r.curve, r.started, r.ended) for r in found.records]


# -- the decisions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 3, 8])
@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_trials_are_stopped_as_by_the_rule_that_is_fed_by_hand(scheduler, slots):
    """Of curves that need no searcher, epochs in lockstep, told by number."""
    found = simulate(STEPS, Plan(scheduler=scheduler, trials=40, slots=slots), seed=1)
    rule = make_stopping(scheduler, EPOCHS, 9, 2)
    configs = [TrainConfig.from_dict(record.config) for record in found.records]
    curves = [STEPS.curve(config, 1) for config in configs]
    waiting, running, lengths = [*range(40)], {}, {}
    while waiting or running:
        for number in [waiting.pop(0) for _ in range(min(slots - len(running), len(waiting)))]:
            running[number] = 0
        for number in sorted(running):
            running[number] += 1
            epoch = running[number]
            report = {"trial": number, "epoch": epoch, "val_acc": curves[number][epoch - 1]}
            if rule.stops(report) or epoch == EPOCHS:
                lengths[number] = running.pop(number)
    assert [record.epoch for record in found.records] == [lengths[n] for n in range(40)]
    assert len(set(lengths.values())) > 1
    for record, curve in zip(found.records, curves, strict=True):
        assert [*record.curve.values()] == curve[: record.epoch].tolist()
        assert record.state == ("completed" if record.epoch == EPOCHS else "stopped")


def test_the_searcher_knows_what_the_simulation_tells():
    strategy = StudyStrategy(STEPS, Plan(trials=30, slots=4), 2)
    found = play(STEPS, strategy, slots=4, epochs_total=None, seed=2)
    known = strategy.searcher.records
    assert [(r.number, r.config, r.state, r.curve) for r in known.values()] == [
        (r.number, r.config, r.state, r.curve) for r in found.records
    ]
    # What a sweep hands out, from what its study holds.
    assert best_trial([*known.values()]).number == found.course.last.handed
    assert TrainConfig.from_dict(found.records[0].config) == STEPS.base


@pytest.mark.parametrize(
    ("scheduler", "share"), [("asha", 0.0), ("asha", 0.3), ("hyperband", 0.3), ("top-k", 0.3)]
)
def test_a_sweeps_own_lanes_decide_alike(scheduler, share):
    """As Tune asks and tells them: the rule first; after the last epoch a report, then the end."""
    searcher = StudySearcher(study_in_memory(), STEPS.space, STEPS.base, 30, seed=2)
    check = Check(share, 2)
    rule = make_stopping(scheduler, EPOCHS, 9, 2, trials=30, check=check, spare=searcher.spare)
    lanes = [Lane(searcher, rule, None)]
    search, stopping = LaneSearcher(lanes), LaneStopping(lanes)
    running: dict[int, tuple[str, Trial, np.ndarray]] = {}

    def begin() -> None:
        name = str(len(searcher.records))
        if (given := search.suggest(name)) != Searcher.FINISHED:
            trial = Trial("synthetic", stub=True)
            trial.config = given
            curve = STEPS.curve(TrainConfig.from_dict(given["config"]), 2)
            running[given["trial"]] = name, trial, curve

    for _ in range(4):
        begin()
    while running:
        for number, (name, trial, curve) in sorted(running.items()):
            epoch = searcher.records[number].epoch + 1
            result = {"trial": number, "epoch": epoch, "val_acc": curve[epoch - 1]}
            stops = stopping.on_trial_result(None, trial, result) == TrialScheduler.STOP
            if not stops:
                search.on_trial_result(name, result)
            if stops or epoch == EPOCHS:
                search.on_trial_complete(name, result)
                del running[number]
                begin()
    strategy = StudyStrategy(STEPS, Plan(scheduler=scheduler, trials=30, check_rungs=share), 2)
    play(STEPS, strategy, slots=4, epochs_total=None, seed=2)
    simulated, real = (
        [(r.number, r.config, r.state, r.curve, r.spared) for r in one.records.values()]
        for one in (strategy.searcher, searcher)
    )
    assert simulated == real
    assert any(record.spared for record in searcher.records.values()) == bool(share)


def test_what_is_handed_out_is_the_best_completed_so_far():
    found = simulate(STEPS, Plan(trials=60, slots=4), seed=3)
    ended = []
    for moment in found.course.moments:
        ended.append(found.records[moment.trial])
        best = best_trial(ended)
        assert moment.handed == (best and best.number)
        config = STEPS.base if best is None else TrainConfig.from_dict(best.config)
        assert moment.truth == STEPS.truth(config)
        assert moment.regret == STEPS.best() - moment.truth
        assert moment.epochs >= sum(record.epoch for record in ended)
    assert len({moment.handed for moment in found.course.moments}) > 1
    assert [m.seconds for m in found.course.moments] == [
        record.ended for record in sorted(found.records, key=lambda r: (r.ended, r.number))
    ]


def test_a_diverged_trial_ends_and_is_never_handed_out():
    found = simulate(Changed(diverges=True), Plan(scheduler="none", trials=30), seed=0)
    diverged = [r for r in found.records if r.config["kd"]["temperature"] > 4]
    assert len(diverged) >= 5
    for record in diverged:
        assert (record.state, record.epoch, record.score) == ("stopped", 3, 0.0)
        assert record.reason == "the loss was not finite in epoch 3"
    assert found.course.last.handed not in [record.number for record in diverged]


# -- seeds, slots, seconds, budgets ----------------------------------------------------------------


@pytest.mark.parametrize("sampler", [name for name in sampling.SAMPLERS if name != "grid"])
def test_equal_seeds_give_equal_searches(sampler):
    plan = Plan(sampler=sampler, trials=25, slots=3)
    first, again, other = (simulate(STEPS, plan, seed) for seed in (5, 5, 6))
    assert searched(first) == searched(again)
    assert first.course == again.course
    assert searched(first) != searched(other)


def test_equal_seeds_give_equal_repeats_whatever_the_processes():
    plan, seeds = Plan(trials=8, slots=2), range(40, 45)
    alone, shared = (list(repeats(Drawn("cosine", 9), plan, seeds, jobs)) for jobs in (1, 2))
    assert alone == shared
    assert [repeat.seed for repeat in shared] == [*seeds]
    assert len({repeat.best for repeat in shared}) == 5


def test_slots_change_the_order_and_nothing_else():
    def by_number(slots: int) -> list[tuple]:
        plan = Plan(sampler="random", scheduler="none", trials=20, slots=slots)
        found = simulate(STEPS, plan, seed=4)
        assert found.course.seconds == EPOCHS * -(-20 // slots)
        assert found.course.epochs == 20 * EPOCHS
        return [(r.number, r.config, r.state, r.curve) for r in found.records]

    assert by_number(1) == by_number(7) == by_number(64)


def test_an_epoch_takes_its_seconds():
    plan = Plan(sampler="random", scheduler="none", trials=20, slots=4)
    usual, twice, uneven = (
        simulate(source, plan, seed=4) for source in (STEPS, Changed(2.0), Changed(slow=3.0))
    )
    assert twice.course.seconds == 2 * usual.course.seconds
    assert [m.handed for m in twice.course.moments] == [m.handed for m in usual.course.moments]
    for record in uneven.records:
        pace = 3 if record.config["kd"]["temperature"] > 4 else 1
        assert record.ended - record.started == record.seconds == EPOCHS * pace
    starts = sorted(record.started for record in uneven.records)
    assert starts[:4] == [0.0] * 4
    assert set(starts[4:]) <= {record.ended for record in uneven.records}


@pytest.mark.parametrize("scheduler", ["asha", "none"])
@pytest.mark.parametrize("budget", [1, 26, 100, 432])
def test_a_budget_in_epochs_is_kept_and_leaves_the_trials_open(budget, scheduler):
    plan = Plan(scheduler=scheduler, epochs_total=budget, slots=8)
    found = simulate(STEPS, plan, seed=0)
    assert found.course.epochs == sum(r.epoch for r in found.records) == budget
    if scheduler == "asha" and budget == 432:
        assert len(found.records) > 16
    both = simulate(STEPS, replace(plan, trials=9), seed=0)
    assert both.course.epochs <= budget
    assert len(both.records) <= 9
    assert {r.state for r in both.records} <= {"completed", "stopped", "running"}


def test_of_many_slots_as_many_are_used_as_the_budget_can_bring_to_an_end():
    """Else every trial would be cut short, and nothing could be handed out."""
    for trials, slots in ((2, 64), (4, 3)):
        budget = trials * STEPS.base.epochs
        found = simulate(STEPS, Plan(epochs_total=budget, slots=slots), 0)
        assert any(record.state == "completed" for record in found.records)
        at_first = [record for record in found.records if record.started == 0]
        assert len(at_first) == min(trials, slots)
        assert sum(record.epoch for record in found.records) == budget


def test_before_a_trial_is_completed_a_person_has_the_default():
    found = simulate(STEPS, Plan(epochs_total=20), seed=0)
    assert found.course.moments == ()
    assert found.course.last.handed is None
    assert found.course.last.regret == STEPS.best() - STEPS.truth(STEPS.base)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "Nothing ends this search; give --trials or --epochs-total"),
        ({"trials": 0}, "--trials is 0; it must be from 1"),
        ({"epochs_total": 0}, "--epochs-total is 0"),
        ({"trials": 3, "sampler": "tep"}, "no sampler 'tep'; did you mean 'tpe'"),
        ({"trials": 3, "scheduler": "ahsa"}, "no scheduler 'ahsa'; did you mean 'asha'"),
    ],
)
def test_a_plan_that_makes_no_sense(asked, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        Plan(**asked)


def test_a_sampler_that_is_registered_may_be_asked_for(monkeypatch):
    monkeypatch.setitem(sampling.SAMPLERS, "even", sampling.SAMPLERS["random"])
    mine, random = (simulate(STEPS, Plan(sampler=name, trials=9), 0) for name in ("even", "random"))
    assert searched(mine) == searched(random)


# -- recorded curves -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(OLD) as archive:
        archive.extractall(folder, filter="data")
    return folder / "runs"


def tables(folder: Path, count: int, seed: int, *, epochs: int = 9) -> Path:
    """A sweep's two tables, of random configurations of LSSKD whose trials all end by chance."""
    base = TrainConfig.paper("lsskd", "resnet8", "digits", epochs=epochs, seed=seed)
    plan = Plan(sampler="random", scheduler="none", trials=count)
    source = Changed()
    source.base, source.space = base, load_space("lsskd", "resnet8")
    source.curve = lambda config, _: np.linspace(10, 50 + seed + 9 * config.kd.alpha, epochs)
    source.truth = lambda config: 0.0
    found = simulate(source, plan, 0)
    folder.mkdir()
    trials = [
        {"trial": r.number, "state": r.state, "seconds": 18.0}
        | TrainConfig.from_dict(r.config).flat()
        for r in found.records
    ]
    points = [
        {"trial": r.number, "epoch": epoch, "val_acc": value}
        for r in found.records
        for epoch, value in r.curve.items()
    ]
    for name, made in (("trials", trials), ("curves", points)):
        pq.write_table(pa.Table.from_pylist(made), folder / f"{name}.parquet")
    return folder


def test_an_old_sweep_is_replayed(runs):
    found = Recorded([runs / "finished"])
    # Two of its four trials were stopped.
    assert len(found) == 2
    assert found.best() == found.truth(found.base) == 46.65810012817383
    assert found.curve(found.base, 0)[0] == 8.611824989318848
    assert found.base.epochs == 3
    assert found.seconds(found.base) == pytest.approx(15.149 / 3, abs=0.01)
    last = simulate(found, Plan(trials=6), 0).course.last
    assert (last.handed, last.regret) == (0, 0.0)
    taught = Recorded([runs / "taught" / "curves.parquet"])
    assert taught.best() == 35.6041145324707
    assert [*taught.space.domains] == ["kd.alpha", "kd.temperature"]


@pytest.mark.parametrize("described", [True, False])
def test_what_a_sweep_writes_today_is_replayed(described, tmp_path):
    result = sweep_result(tmp_path / "today", trials=40, stopping=False)
    if described:
        result.sweep.settings.save()
    else:
        (tmp_path / "today").mkdir()
    for name, content in zip(TABLES, report_tables(result), strict=True):
        (tmp_path / "today" / name).write_bytes(content)
    recorded = Recorded([tmp_path / "today"])
    completed = result.of("completed")
    assert len(recorded) == len(completed) == 38
    assert recorded.space == result.sweep.settings.space()
    assert recorded.base == result.sweep.settings.base
    assert recorded.best() == result.best.score
    for trial in completed:
        config = TrainConfig.from_dict(trial.config)
        assert recorded.truth(config) == trial.score
        assert recorded.curve(config, 3).tolist() == [*trial.curve.values()]
        assert recorded.seconds(config) == pytest.approx(trial.seconds / 9)


def test_tables_alone_say_what_their_sweep_says(runs, tmp_path):
    for name in ("trials.parquet", "curves.parquet"):
        shutil.copy(runs / "finished" / name, tmp_path)
    alone, within = Recorded([tmp_path / "trials.parquet"]), Recorded([runs / "finished"])
    assert alone.space == within.space
    assert alone.base == within.base
    assert alone.best() == within.best()


def test_a_search_over_a_table_invents_no_score(tmp_path):
    recorded = Recorded([tables(tmp_path / "one", 30, 0)])
    written = pq.read_table(tmp_path / "one" / "curves.parquet").to_pylist()
    scores = {(row["epoch"], row["val_acc"]) for row in written}
    found = simulate(recorded, Plan(trials=50, slots=4), seed=9)
    assert {point for record in found.records for point in record.curve.items()} <= scores
    assert recorded.best() == max(score for epoch, score in scores if epoch == 9)
    assert {moment.truth for moment in found.course.moments} <= {score for _, score in scores}


def test_a_recorded_configuration_takes_its_own_curve(tmp_path):
    recorded = Recorded([tables(tmp_path / "one", 30, 0)])
    for row in pq.read_table(tmp_path / "one" / "trials.parquet").to_pylist():
        kd = {name: row[f"kd.{name}"] for name in ("alpha", "alpha_schedule", "beta", "gamma")}
        config = replace(
            recorded.base, kd=replace(recorded.base.kd, **kd, temperature=row["kd.temperature"])
        )
        assert recorded.truth(config) == pytest.approx(50 + 9 * row["kd.alpha"])
        assert recorded.seconds(config) == 2.0
        # A little beside it, and it is the same; another choice is as far as the whole range.
        beside = replace(config, kd=replace(config.kd, beta=config.kd.beta * 1.001))
        assert recorded.nearest(beside) == recorded.nearest(config)


def test_the_nearest_is_nearest_by_positions_and_by_equal_choices(tmp_path):
    recorded = Recorded([tables(tmp_path / "one", 30, 0)])
    written = pq.read_table(tmp_path / "one" / "trials.parquet").to_pylist()
    logarithmic = {"beta": (0.05, 10), "gamma": (0.001, 1), "temperature": (1, 10)}

    def away(row: dict, kd: dict) -> float:
        total = ((row["kd.alpha"] - kd["alpha"]) / 0.85) ** 2
        total += row["kd.alpha_schedule"] != kd["alpha_schedule"]
        for name, (low, high) in logarithmic.items():
            total += (math.log(row[f"kd.{name}"] / kd[name]) / math.log(high / low)) ** 2
        return total

    found = simulate(STEPS, Plan(sampler="random", scheduler="none", trials=40), seed=77)
    chosen = set()
    for record in found.records:
        kd = record.config["kd"]
        nearest = min(written, key=lambda row: away(row, kd))
        truth = recorded.truth(TrainConfig.from_dict(record.config))
        assert truth == pytest.approx(50 + 9 * nearest["kd.alpha"])
        chosen.add(truth)
    assert len(chosen) > 10


def test_what_failed_or_was_stopped_is_not_handed_on(tmp_path):
    folder = tables(tmp_path / "one", 12, 0)
    rows_of = pq.read_table(folder / "trials.parquet").to_pylist()
    for row, state in zip(rows_of[1:4], ("failed", "stopped", "running"), strict=True):
        row["state"] = state
    pq.write_table(pa.Table.from_pylist(rows_of), folder / "trials.parquet")
    assert len(Recorded([folder])) == 9


@pytest.mark.parametrize("method", ["dtskd", "lsskd"])
def test_the_tables_that_are_kept_here_are_replayed(method):
    recorded = Recorded([Path(__file__).parents[2] / "benchmarks" / "curves" / f"{method}-digits"])
    found = simulate(recorded, Plan(trials=16, slots=2), seed=0)
    assert (recorded.base.method, recorded.base.epochs) == (method, 9)
    assert 0 <= found.course.last.regret <= found.course.start.regret


def test_tables_of_several_seeds_are_one(tmp_path):
    folders = [tables(tmp_path / name, 12, seed) for seed, name in enumerate(("one", "two"))]
    pooled, first = Recorded(folders), Recorded(folders[:1])
    assert (len(first), len(pooled)) == (12, 24)
    assert pooled.name == "one, two"
    assert pooled.truth(pooled.base) == pytest.approx(first.truth(pooled.base) + 0.5)
    lasts = {float(pooled.curve(pooled.base, seed)[-1]) for seed in range(20)}
    assert sorted(lasts) == pytest.approx([57.2, 58.2])
    trials = folders[1] / "trials.parquet"
    shorter = [row | {"epochs": 3} for row in pq.read_table(trials).to_pylist()]
    pq.write_table(pa.Table.from_pylist(shorter), trials)
    with pytest.raises(UserError, match=r"two has epochs 3, and \S+one has 9; give tables of one"):
        Recorded(folders)


# -- what is told ----------------------------------------------------------------------------------


def course(*regrets: float) -> Course:
    """A trial of ten epochs ends with each of the regrets; the first is before the search."""
    start, *moments = (
        Moment(trial=n - 1, epochs=10 * n, seconds=5.0 * n, handed=None, truth=70.0, regret=regret)
        for n, regret in enumerate(regrets)
    )
    return Course(start=start, moments=moments, epochs=10 * len(moments), seconds=1.0)


def test_a_regret_is_reached_once_it_stays():
    went = course(4.0, 0.5, 2.0, 0.9, 0.2)
    assert [went.epochs_until(regret) for regret in (5, 1.0, 0.2, 0.1)] == [0, 30, 40, None]
    assert went.at(29).regret == 2.0
    assert went.at(9) is went.start
    assert went.at_second(15.0).regret == 0.9


def test_a_mean_has_the_interval_of_students_t():
    values = [1.0, 2.5, 0.3, 4.0]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    found = mean_of(values)
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert str(mean_of([1.0])) == "1.00"


def test_repeats_come_to_means_medians_and_counts():
    courses = [course(4.0, 1.0), course(2.0, 2.0, 0.5), course(1.0, 3.0), course(1.0, 0.0)]
    found = [
        Repeat(seed=seed, best=72.0, course=went, trials=3, completed=2)
        for seed, went in enumerate(courses)
    ]
    before, after = rows(found, (0, 1))
    assert (before.regret.mean, before.middle, before.worst) == (2.0, 1.5, 4.0)
    assert (after.regret.mean, after.middle, after.worst, after.epochs) == (1.125, 0.75, 3.0, 12.5)
    assert reached(found, 1.0) == (3, 15.0)
    assert reached(found, 0.1) == (1, None)


# -- the command -----------------------------------------------------------------------------------


def command(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*words])
    said = capsys.readouterr()
    assert not end.value.code, said.err
    return said.out


def test_the_command_over_generated_curves(tmp_path, capsys):
    file = tmp_path / "repeats.parquet"
    words = ("--kind", "cosine", "--epochs", "9", "--trials", "6", "--slots", "2", "--repeats", "3")
    said = command(capsys, *words, "--seed", "7", "--jobs", "1", "-o", str(file))
    assert "cosine: tpe and asha, 6 trials, trials of at most 9 epochs, 2 at once" in said
    assert "seeds 7 to 9" in said
    assert "prove nothing" not in said
    assert "\x1b" not in said
    read = pq.read_table(file).to_pylist()
    expected = list(repeats(Drawn("cosine", 9), Plan(trials=6, slots=2), range(7, 10), 1))
    assert [row["seed"] for row in read] == [7, 8, 9]
    assert [row["regret"] for row in read] == [r.course.last.regret for r in expected]
    assert [row["course.epochs"][-1] for row in read] == [r.course.epochs for r in expected]
    assert {(row["curves"], row["sampler"], row["trials"]) for row in read} == {
        ("cosine", "tpe", 6)
    }
    mean = np.mean([row["regret"] for row in read])
    (line,) = (line for line in said.splitlines() if line.strip().startswith("100 %"))
    assert f"{mean:.2f} ±" in line


def test_the_command_counts_one_of_each(capsys):
    words = ("--kind", "flat", "--epochs", "1", "--trials", "1", "--epochs-total", "1")
    said = command(capsys, *words, "--scheduler", "none", "--repeats", "1", "--jobs", "1")
    assert "1 trial or 1 epoch, trials of at most 1 epoch, 1 at once; seed 0\n" in said


def test_a_simulated_search_that_stops_no_trial_checks_no_rungs():
    with pytest.raises(UserError, match="--scheduler none stops no trial"):
        Plan(scheduler="none", trials=4, check_rungs=0.5)


def test_the_command_over_an_old_sweep(runs, capsys):
    words = ("--sampler", "random", "--epochs-total", "20", "--repeats", "2", "--jobs", "1")
    said = command(capsys, str(runs / "finished"), *words)
    assert "finished (2 curves): random and asha, 20 epochs, trials of at most 3 epochs" in said
    assert "So few curves prove nothing" in said
    assert "46.66 ± 0.00" in said
    assert "regret of 1 or less: 2 of 2 repeats, the median after 0 epochs" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_it_leaves_nothing_behind(number):
    words = ("--repeats", "400", "--trials", "256", "--scheduler", "none", "--jobs", "2")
    process = subprocess.Popen(
        [sys.executable, "-m", "tuning.replay", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert "distillation" in process.stdout.readline()
    time.sleep(1.5)
    if number == signal.SIGINT:
        # A terminal tells all of them.
        os.killpg(process.pid, number)
    else:
        process.kill()
    _, err = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert (process.returncode, err) == (130, "")
    deadline = time.monotonic() + 60
    while there(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not there(process.pid)


def there(group: int) -> bool:
    """Whether any process of the group is."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
