"""Several objectives: what is best at once, what is drawn and stopped by it, what is told of it."""

import io
import itertools
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _fast_non_domination_rank
from rich.console import Console
from synthetic import sweep_result

from kd.config import TrainConfig
from kd.cost import costs
from kd.errors import UserError
from search_spaces import load_space
from tuning.python.result import SearchResult
from tuning.records.findings import Findings
from tuning.records.pareto import front, volumes
from tuning.records.result import SweepResult
from tuning.replay import main as replay
from tuning.replaying.generated import Generated
from tuning.replaying.recorded import Recorded
from tuning.replaying.simulate import Simulated, simulate
from tuning.replaying.strategy import Plan
from tuning.reports import comparison
from tuning.reports.files import TABLES, tables
from tuning.reports.page import render
from tuning.reports.summary import print_cells, print_summary
from tuning.study.journal import open_study, read_trials, study_in_memory
from tuning.study.objectives import OBJECTIVES, chosen, losses, searched
from tuning.study.pareto import best_first, hypervolume, pareto_set
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import ParetoStopping, make_stopping
from tuning.study.trials import TrialRecord

BASE = TrainConfig.paper("lsskd", "resnet8", "digits", epochs=9)
TWO = chosen(["ece"])

# -- what is best at once --------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_fronts_sets_and_volumes_are_those_of_brute_force_and_of_optuna(width, count):
    """Rounded, so that there are equal ones in part and in whole."""
    losses = np.random.default_rng((width, count)).random((count, width)).round(1)
    ranks = _fast_non_domination_rank(losses)
    order = best_first([{1: tuple(row)} for row in losses])
    assert sorted(order) == list(range(count))
    assert ranks[order].tolist() == sorted(ranks)
    alone = [
        row
        for row, own in enumerate(losses)
        if not any((other <= own).all() and (other < own).any() for other in losses)
    ]
    assert pareto_set(losses) == alone == np.flatnonzero(ranks == 0).tolist()
    reference = np.full(width, 0.9)
    # Optuna takes no point beyond the reference, which dominates nothing within.
    within = losses[(losses <= reference).all(1)]
    expected = compute_hypervolume(within, reference) if len(within) else 0.0
    assert hypervolume(losses, reference) == pytest.approx(expected)
    inside = np.random.default_rng(1).random((20_000, width)) * 0.9
    share = (losses[:, None] <= inside).all(2).any(0).mean()
    assert hypervolume(losses, reference) == pytest.approx(share * 0.9**width, abs=0.02)


def test_within_a_front_the_farthest_comes_next():
    front = [(-90.0, 9.0), (-89.9, 8.9), (-50.0, 1.0), (-70.0, 5.0), (-90.0, 9.0)]
    # The best of the first objective, the other end, the middle, who is near, who is equal.
    assert best_first([{1: losses} for losses in front]) == [0, 2, 3, 1, 4]


def test_of_equal_ones_the_first_that_is_given_comes_first():
    same = [{1: (0.0, 0.0)}] * 3
    assert best_first(same) == [0, 1, 2]
    assert best_first([]) == []


def test_two_are_compared_at_the_last_epoch_that_both_reached():
    late = {1: (-10.0, 1.0), 2: (-90.0, 9.0)}
    early = {1: (-20.0, 0.5)}
    assert best_first([late, early]) == [1, 0]
    # Each is better than the next: no order of fronts, and an order all the same.
    ring = [
        {1: (1.0, 1.0), 2: (9.0, 9.0)},
        {1: (2.0, 2.0)},
        {2: (5.0, 5.0), 1: (3.0, 3.0)},
    ]
    assert sorted(best_first(ring)) == [0, 1, 2]
    worst = {1: (np.inf, np.inf), 2: (np.inf, np.inf)}
    assert best_first([worst, late, early])[-1] == 0


def test_a_missing_epoch_is_neither_better_nor_worse():
    assert sorted(best_first([{3: (0.0, 0.0)}, {1: (1.0, 1.0), 2: (1.0, 1.0)}])) == [0, 1]


# -- the objectives --------------------------------------------------------------------------------


def test_val_accuracy_is_always_there_and_first():
    assert [one.name for one in chosen(["ece", "val_acc", "ece"])] == ["val_acc", "ece"]
    assert [one.name for one in chosen([])] == ["val_acc"]
    assert chosen(["params", "ece"]) == chosen(["ece", "params"])
    assert [one.name for one in searched(chosen(OBJECTIVES))] == ["val_acc", "ece", "train_seconds"]


def test_losses_have_one_direction_and_sums_bear_a_gap():
    asked = chosen(["ece", "train_seconds"])
    told = {1: {"ece": 3.0, "train_seconds": 2.0}, 3: {"ece": 1.0, "train_seconds": 4.0}}
    found = losses(asked, {1: 50.0, 2: 60.0, 3: 70.0}, told)
    # An epoch that a resumed trial did not tell took as long as the mean.
    assert found[3] == (-70.0, 1.0, 9.0)
    assert found[1] == (-50.0, 3.0, 2.0)
    assert found[2] == (-60.0, np.inf, np.inf)


# -- what is stopped -------------------------------------------------------------------------------


def report(number, epoch, val_acc, ece):
    return {"trial": number, "epoch": epoch, "val_acc": val_acc, "val_ece": ece}


def test_a_trial_passes_a_rung_by_what_it_is_best_in():
    by_both = make_stopping("asha", 9, 3, 3, objectives=TWO)
    by_one = make_stopping("asha", 9, 3, 3)
    assert isinstance(by_both, ParetoStopping)
    assert not isinstance(by_one, ParetoStopping)
    told = [report(number, 3, 60.0 - number, 10.0 + number) for number in range(6)]
    # The default is never stopped; of the others each is worse in both than those before.
    for one in told:
        stops = one["trial"] > 0
        assert by_both.stops(one) == by_one.stops(one) == stops
    calibrated = report(6, 3, 40.0, 1.0)
    assert by_one.stops(calibrated)
    assert not by_both.stops(calibrated)
    assert by_both.stops(report(7, 3, 39.0, 2.0))
    # Between the rungs nothing is stopped, and what diverged always is.
    assert not by_both.stops(report(8, 2, 0.5, 99.0))
    assert by_both.stops(report(8, 3, 0.0, 99.0) | {"diverged": True})


def test_by_equal_values_in_the_others_it_decides_as_by_val_accuracy():
    """But where ASHA reads its cutoff between two scores: then the better ones are the same."""
    for seed in range(5):
        scores = np.random.default_rng(seed).permutation(40).astype(float)
        rule = make_stopping("asha", 9, 3, 4, objectives=TWO)
        for number, score in enumerate(scores):
            stops = rule.stops(report(number, 3, score, 5.0))
            better = (scores[: number + 1] > score).sum()
            assert stops == (number > 0 and better > 0 and better >= (number + 1) / 4)


def test_a_resumed_rule_decides_as_the_unbroken_one():
    rng = np.random.default_rng(3)
    reports = [
        report(number, epoch, rng.uniform(0, 99), rng.uniform(0, 30))
        for number in range(30)
        for epoch in range(1, 7)
    ]
    whole = make_stopping("asha", 9, 1, 2, objectives=TWO)
    decided = [whole.stops(one) for one in reports]
    assert 0 < sum(decided) < 90
    for cut in (1, 50, 121):
        records: dict[int, TrialRecord] = {}
        for one in reports[:cut]:
            number, epoch = one["trial"], one["epoch"]
            record = records.setdefault(number, TrialRecord(number=number, config={}))
            record.curve[epoch], record.told[epoch] = one["val_acc"], {"ece": one["val_ece"]}
        again = make_stopping("asha", 9, 1, 2, objectives=TWO)
        again.replay(records.values())
        # What is told again, after a kill, changes nothing.
        assert not any(again.stops(one | {"val_ece": 0.0}) for one in reports[:cut])
        assert [again.stops(one) for one in reports[cut:]] == decided[cut:]


# -- what is drawn, and what the study keeps -------------------------------------------------------


def drive(searcher, count):
    """Trials of two epochs whose calibration is best where their accuracy is worst."""
    found = []
    for _ in range(count):
        record = searcher.suggest()
        assert record
        found.append(record.config["kd"])
        alpha = record.config["kd"]["alpha"]
        for epoch in (1, 2):
            told = report(record.number, epoch, 50 + 40 * alpha + epoch, 10 * alpha)
            searcher.report(record.number, told)
        searcher.end(record.number, report(record.number, 3, 60 + 40 * alpha, 10 * alpha))
    return found


def test_a_search_draws_as_if_unbroken_from_what_the_journal_keeps(tmp_path):
    space = load_space("lsskd", "resnet8")

    def drawn(cut):
        found, path = [], tmp_path / f"{cut}.log"
        for begin, end in itertools.pairwise((0, cut, 13)):
            with open_study(path, "search", create=not path.exists()) as study:
                searcher = StudySearcher(study, space, BASE, 13, seed=3, objectives=TWO)
                found += drive(searcher, end - begin)
                kept = {record.number: record.told for record in read_trials(study)}
                assert kept == {n: record.told for n, record in searcher.records.items()}
        assert kept[5][2] == {"ece": 10 * found[5]["alpha"]}
        return found

    def in_memory(objectives):
        study = study_in_memory()
        found = drive(StudySearcher(study, space, BASE, 13, seed=3, objectives=objectives), 13)
        return found, {key for trial in study.trials for key in trial.user_attrs}

    whole = drawn(13)
    assert drawn(6) == whole == in_memory(TWO)[0]
    # Of one objective, or of what is the backbone's, nothing more is kept; it draws otherwise.
    alone = in_memory(())
    assert alone == in_memory(chosen(["params", "latency"]))
    assert alone[1] == {"config", "gpus", "spans", "metrics", "reason"} - {"gpus"}
    assert alone[0][:4] == whole[:4]
    assert alone[0] != whole


def test_an_epoch_that_was_cut_off_before_it_was_known_is_told_anew(tmp_path):
    """Killed between what it told and the epoch itself: the epoch is trained and told again."""
    space, path = load_space("lsskd", "resnet8"), tmp_path / "study.log"
    with open_study(path, "search", create=True) as study:
        searcher = StudySearcher(study, space, BASE, 3, objectives=TWO)
        assert searcher.suggest()
        searcher.report(0, report(0, 1, 50.0, 7.0))
    *lines, last = path.read_text().splitlines()
    # Of the journal's lines the last one is the epoch's.
    assert "intermediate_value" in last
    path.write_text("\n".join(lines) + "\n")
    with open_study(path, "search", create=False) as study:
        searcher = StudySearcher(study, space, BASE, 3, objectives=TWO)
        assert searcher.records[0].told == {}
        assert searcher.suggest()
        searcher.report(0, report(0, 1, 51.0, 6.0))
        searcher.report(0, report(0, 1, 99.0, 0.1))
        assert read_trials(study)[0].told == {1: {"ece": 6.0}}
        assert read_trials(study)[0].curve == {1: 51.0}


def test_tpe_looks_along_the_front_and_not_at_its_end():
    """More val accuracy costs calibration: by both, low and high alphas are tried alike."""
    means = {}
    for objectives in ((), TWO):
        alphas = []
        for seed in range(3):
            study = optuna.create_study(direction="maximize")
            space = load_space("lsskd", "resnet8")
            searcher = StudySearcher(study, space, BASE, 32, seed=seed, objectives=objectives)
            alphas += [kd["alpha"] for kd in drive(searcher, 32)[12:]]
        means[len(objectives)] = np.mean(alphas)
    low, high = 0.1, 0.95
    assert means[0] > low + 0.7 * (high - low)
    assert low + 0.3 * (high - low) < means[2] < low + 0.7 * (high - low)


# -- proof: a search over a finite table -----------------------------------------------------------

EPOCHS, TRIALS = 9, 100


def table(folder: Path, seed: int, count: int = 24) -> dict[int, tuple[float, float]]:
    """A recorded table of `count` configurations; returns what each came to at its end.

    Alpha trades accuracy for calibration, and both are best at one temperature. Curves hardly
    cross, as no rule would find at a rung what is good at the end alone.
    """
    rng = np.random.default_rng(seed)
    ends, trials, points = {}, [], []
    for number in range(count):
        alpha, t = rng.uniform(0.1, 0.95), rng.uniform()
        if number:
            kd = replace(BASE.kd, alpha=alpha, temperature=10**t)
            config = replace(BASE, kd=kd)
        else:
            config, alpha, t = BASE, BASE.kd.alpha, np.log10(BASE.kd.temperature)
        top, bottom = 65 + 25 * alpha - 30 * (t - 0.5) ** 2, 2 + 8 * alpha + 20 * (t - 0.5) ** 2
        trials.append({"trial": number, "state": "completed", "seconds": 9.0} | config.flat())
        for epoch in range(1, EPOCHS + 1):
            val = top * (1 - 0.5 * np.exp(-0.6 * epoch)) + rng.normal(0, 0.02)
            error = bottom * (1 + np.exp(-0.6 * epoch)) + rng.normal(0, 0.02)
            points.append({"trial": number, "epoch": epoch, "val_acc": val, "ece": error})
        ends[number] = (val, error)
    folder.mkdir()
    for name, rows in (("trials", trials), ("curves", points)):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return ends


def brute_force(ends: Iterable[tuple[float, float]]) -> set[tuple[float, float]]:
    """Those of (accuracy, calibration error) that no other is better than."""
    ends = set(ends)
    return {
        (val, error)
        for val, error in ends
        if not any(v >= val and e <= error and (v, e) != (val, error) for v, e in ends)
    }


def completed(found: Simulated, ends: dict[int, tuple[float, float]]) -> set[tuple[float, float]]:
    """What the completed trials of a search came to, one after the other."""
    errors = dict(ends.values())
    scores = [r.curve[EPOCHS] for r in found.records if r.state == "completed"]
    return {(score, errors[score]) for score in scores}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_search_with_early_stopping_ends_with_the_pareto_set_of_the_table(seed, tmp_path):
    ends = table(tmp_path / "table", seed)
    recorded, whole = Recorded([tmp_path / "table"]), brute_force(ends.values())
    assert 4 <= len(whole) <= len(ends) // 2
    found = simulate(recorded, Plan(objectives=("ece",), trials=TRIALS), seed)
    assert brute_force(completed(found, ends)) == whole
    assert found.course.last.volume == pytest.approx(1)
    # It did stop trials early, spared epochs by that, and never the paper's default.
    assert sum(r.state == "stopped" for r in found.records) > TRIALS / 4
    assert found.course.epochs < 0.85 * TRIALS * EPOCHS
    assert found.records[0].state == "completed"
    # What it told its searcher is what the table holds, epoch by epoch.
    for record in found.records:
        curve = recorded.curve(TrainConfig.from_dict(record.config), seed)
        assert [*record.curve.values()] == curve[: record.epoch].tolist()
        assert len(record.told) == record.epoch
    # By val accuracy alone the same search ends elsewhere.
    alone = simulate(recorded, Plan(trials=TRIALS), seed)
    assert brute_force(completed(alone, ends)) < whole
    assert max(completed(alone, ends)) == max(whole)


def test_a_simulated_search_is_a_function_of_its_seed_and_offers_what_it_has(tmp_path, capsys):
    table(tmp_path / "table", 0)
    recorded = Recorded([tmp_path / "table"])
    assert recorded.offers == ("val_acc", "ece", "train_seconds")
    plan = Plan(trials=12, objectives=("ece", "train_seconds"), slots=3)
    first, second = (simulate(recorded, plan, 5) for _ in range(2))
    assert first == second
    assert first.records[3].told[1]["train_seconds"] == 1.0
    words = [str(tmp_path / "table"), "--objective", "ece", "--trials", "12", "--repeats", "2"]
    with pytest.raises(SystemExit) as end:
        replay([*words, "--jobs", "1", "-o", str(tmp_path / "out.parquet")])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "compared in val accuracy, calibration error" in said
    assert "volume" in said
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    for row in rows:
        assert row["objectives"] == "val_acc, ece"
        course = row["course.hypervolume"]
        assert course == sorted(course)
        assert 0 < course[-1] == row["hypervolume"] <= 1


def test_generated_seconds_depend_on_the_configuration_where_they_are_asked_for():
    usual, paced = Generated("distillation", 0), Generated("distillation", 0, paced=True)
    assert usual.seconds(usual.base) == 1.0
    u = paced.cube.point(paced.base).mean()
    assert paced.told(paced.base, 3, "train_seconds").tolist() == [1 + u] * 27
    plan = Plan(trials=16, objectives=("train_seconds",))
    found = simulate(paced, plan, 1)
    volumes = [moment.volume for moment in found.course.moments]
    assert volumes == sorted(volumes)
    assert volumes[-1] > 0.5
    assert simulate(usual, Plan(trials=4), 1).course.last.volume is None


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"objectives": ("eec",)}, "There is no objective 'eec'; did you mean 'ece'"),
        (
            {"objectives": ("ece",), "scheduler": "median"},
            "--scheduler median knows val accuracy alone, and val_acc and ece are asked for; give "
            "--scheduler asha or none, or leave --objective away.",
        ),
        (
            {"objectives": ("ece",), "sampler": "gp"},
            "give --sampler tpe or random or qmc or grid, or",
        ),
    ],
)
def test_what_knows_one_objective_alone_is_refused(asked, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        Plan(trials=4, **asked)
    # What is the backbone's alone is no matter of a sweep's sampler.
    assert Plan(trials=4, **asked | {"objectives": ("params",)})


# -- what a backbone costs -------------------------------------------------------------------------


def test_costs_are_those_of_the_bare_student():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    found = costs("resnet56", 100, (3, 32, 32), ["params", "macs"])
    latency = costs("resnet8", 10, (1, 8, 8), ["latency"])
    # As published: tests/kd/test_backbones.py.
    assert found["params"] == pytest.approx(0.861620)
    assert found["macs"] == pytest.approx(125.5, abs=1)
    assert 0 < latency["latency"] < 10_000
    # Measured once: sweeps side by side have the same.
    assert costs("resnet8", 10, (1, 8, 8), ["latency"]) == latency
    assert costs("resnet8", 10, (1, 8, 8), []) == {}
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


# -- what is told ----------------------------------------------------------------------------------


def weighed(
    folder: Path, objectives: tuple[str, ...], seed: int = 0, **costs: float
) -> SweepResult:
    """A synthetic sweep of those objectives; calibration is the better the lower alpha is."""
    result = sweep_result(folder, seed=seed)
    for trial in result.trials:
        alpha = trial.config["kd"]["alpha"]
        for epoch in trial.curve:
            trial.told[epoch] = {"ece": 10 * alpha, "train_seconds": 2 + alpha}
    settings = replace(result.sweep.settings, objective=objectives)
    return replace(result, sweep=replace(result.sweep, settings=settings, costs=costs))


def pareto_of(result: SweepResult) -> list[int]:
    """The trials of the set as a DataFrame tells them."""
    known = SearchResult(result.sweep.name, result.sweep.folder, None, None, False, False, result)
    return known.pareto["trial"].tolist()


def printed(*results: SweepResult) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    if len(results) == 1:
        print_summary(results[0], console)
    else:
        print_cells(results, console)
    return console.file.getvalue()


def test_a_sweep_tells_its_pareto_set_everywhere(tmp_path):
    (tmp_path / "s").mkdir()
    result = weighed(tmp_path / "s", ("ece",))
    ends = {t.number: (t.score, 10 * t.config["kd"]["alpha"]) for t in result.of("completed")}
    expected = [n for n in sorted(ends, key=lambda n: -ends[n][0])
                if ends[n] in brute_force(ends.values())]  # fmt: skip
    assert 2 <= len(expected) < len(ends)
    assert [m.trial.number for m in front([result])] == expected
    said = printed(result)
    assert f"Pareto set: {len(expected)} of {len(ends)} completed trials." in said
    assert "calibration error" in said
    assert "a tenth of the range behind the worst values: val accuracy" in said
    other = next(n for n in expected if n != result.best.number)
    assert f"By val accuracy alone trial {result.best.number} is handed out." in said
    assert f"python -m tuning.export --sweep s --trial {other} --storage" in said
    assert f"python -m tuning.confirm s --trial {other} --storage" in said
    # Once raced, it is not asked for again.
    raced = {0: [70.0] * 3} | {n: [69.0] * 3 for n in expected if n}
    config = result.trials[0].config
    opened = {0: [{"test_acc": 70.0}] * 3}
    findings = Findings(
        sweep="s", winner=0, seeds=(1, 2, 3), config=config, val_acc=raced, test=opened
    )
    assert "tuning.confirm s --trial" not in printed(replace(result, findings=findings))
    rows = pq.read_table(io.BytesIO(tables(result)[0])).to_pylist()
    assert {row["trial"] for row in rows if row["pareto"]} == set(expected)
    assert rows[0]["objective.ece"] == 10 * result.trials[0].config["kd"]["alpha"]
    points = pq.read_table(io.BytesIO(tables(result)[1])).to_pylist()
    assert points[0]["ece"] == rows[0]["objective.ece"]
    page = render(result)
    assert "<h2>Pareto set</h2>" in page
    assert page.count(", in the Pareto set</title>") == len(expected)
    numbers = map(int, re.findall(r'<text class="label"[^>]*>(\d+)</text>', page))
    assert result.best.number in (named := set(numbers))
    assert named <= set(expected)
    assert "Hypervolume of the Pareto set, over epochs spent" in page
    # The report can be replayed.
    for name, content in zip(TABLES, tables(result), strict=True):
        (tmp_path / "s" / name).write_bytes(content)
    assert Recorded([tmp_path / "s"]).offers == ("val_acc", "ece", "train_seconds")
    assert (
        SearchResult("s", tmp_path, None, None, False, False, result).pareto["trial"].tolist()
        == expected
    )


def test_a_training_that_was_repeated_is_of_the_set_once(tmp_path):
    """As in a sweep of before, which may have drawn what it had tried first."""
    (tmp_path / "s").mkdir()
    result = weighed(tmp_path / "s", ("ece",))
    once = front([result])
    again = replace(once[0].trial, number=len(result.trials))
    assert front([replace(result, trials=[*result.trials, again])]) == once


def test_of_one_objective_nothing_is_told(tmp_path):
    (tmp_path / "s").mkdir()
    result = sweep_result(tmp_path / "s")
    assert "Pareto" not in printed(result) + render(result)
    assert "pareto" not in pq.read_table(io.BytesIO(tables(result)[0])).column_names
    assert pq.read_table(io.BytesIO(tables(result)[1])).column_names == [
        "trial",
        "epoch",
        "val_acc",
    ]
    assert pareto_of(result) == [result.best.number]


def test_the_set_over_backbones_is_that_of_all_their_trials(tmp_path):
    sizes = (0.08, 0.27)
    results = [
        weighed(tmp_path / f"r{n}", ("params",), seed=n, params=size)
        for n, size in enumerate(sizes)
    ]
    # Within a sweep of one backbone the best trial is the set.
    assert [[m.trial.number for m in front([r])] for r in results] == [
        [r.best.number] for r in results
    ]
    found, tops = front(results), [r.best.score for r in results]
    expected = {0} | ({1} if tops[1] > tops[0] else set())
    assert {m.sweep for m in found} == expected
    said = printed(*results)
    assert f"Pareto set: {len(found)} of" in said
    assert "parameters" in said
    page = comparison.render(results)
    assert "Pareto set of all sweeps together" in page
    # Sweeps of other objectives have none together.
    others = [results[0], weighed(tmp_path / "r2", ("ece",), seed=2)]
    assert "Pareto set of all" not in comparison.render(others)


def test_the_hypervolume_grows_to_what_brute_force_says(tmp_path):
    result = weighed(tmp_path / "s", ("ece", "train_seconds"))
    grew = volumes([result])
    done = sorted(result.of("completed"), key=lambda t: t.ended)
    points = np.array([[-t.score, 10 * (a := t.config["kd"]["alpha"]), 9 * (2 + a)] for t in done])
    unit = (points - points.min(0)) / np.ptp(points, axis=0)
    behind = points.max(0) + 0.1 * np.ptp(points, axis=0)
    assert grew.reference == pytest.approx([-behind[0], *behind[1:]])
    volume = [compute_hypervolume(unit[: n + 1], np.full(3, 1.1)) for n in range(len(done))]
    expected = [part / 1.1**3 for part in volume]
    assert grew.volumes == pytest.approx(expected)
    assert list(grew.volumes) == sorted(grew.volumes)
    assert grew.epochs[-1] <= result.epochs_spent


@pytest.mark.parametrize("case", ["none", "equal", "lacking"])
def test_what_cannot_be_weighed_is_shown_all_the_same(case, tmp_path):
    (tmp_path / "s").mkdir()
    result = weighed(tmp_path / "s", ("ece", "latency"), latency=1.5)
    for trial in result.trials:
        if case == "none":
            trial.state = "failed"
        elif case == "equal":
            trial.curve = dict.fromkeys(trial.curve, 50.0)
            trial.told = {epoch: {"ece": 3.0} for epoch in trial.curve}
        else:
            trial.told = {}
    printed(result)
    tables(result)
    assert ("<h2>Pareto set</h2>" in render(result)) == (case == "equal")
    assert volumes([result]) is None
