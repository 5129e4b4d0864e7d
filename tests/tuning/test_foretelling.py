"""What is said of early stopping where some of the trials that it would end run on."""

import random
from dataclasses import replace
from math import asin, pi, sqrt
from pathlib import Path

import pytest
from rich.console import Console
from scipy.stats import kendalltau
from synthetic import sweep_result

from tuning.records.foretelling import agreement, foretelling
from tuning.records.result import SweepResult
from tuning.replaying.generated import Generated
from tuning.replaying.simulate import play
from tuning.replaying.strategy import Plan, StudyStrategy
from tuning.reports.page import render
from tuning.reports.sentences import foretold
from tuning.reports.summary import print_summary
from tuning.study.journal import read_trials
from tuning.study.trials import TrialRecord


def normal_pairs(draw: random.Random, n: int, rho: float) -> list[tuple[float, float]]:
    firsts = [draw.gauss(0, 1) for _ in range(n)]
    return [(x, rho * x + sqrt(1 - rho**2) * draw.gauss(0, 1)) for x in firsts]


def test_tau_is_that_of_scipy_and_of_the_definition():
    pairs = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 4.0), (5.0, 5.0)]
    found = agreement(3, pairs)
    assert found is not None
    assert (found.epoch, found.n, found.tau) == (3, 5, pytest.approx(1 - 2 / 10))
    ties = [(1.0, 1.0), (1.0, 2.0), (2.0, 2.0), (3.0, 1.0), (3.0, 3.0)]
    assert agreement(1, ties).tau == pytest.approx(kendalltau(*zip(*ties, strict=True)).statistic)


@pytest.mark.parametrize("rho", [0.0, 0.7])
@pytest.mark.parametrize("n", [8, 20])
def test_the_interval_holds_what_is_true_in_95_of_100(rho: float, n: int):
    """Of two normal variables with correlation ρ, τ is 2/π asin ρ."""
    draw, true, held = random.Random(n), 2 / pi * asin(rho), 0
    for _ in range(300):
        one = agreement(1, normal_pairs(draw, n, rho))
        assert one
        assert one.low is not None
        assert one.high is not None
        held += one.low <= true <= one.high
    assert 0.92 <= held / 300 <= 1.0


@pytest.mark.parametrize("sign", [1, -1])
def test_nothing_is_certain_where_no_pair_disagrees(sign: int):
    found = agreement(1, [(float(n), float(sign * n)) for n in range(6)])
    assert found
    assert found.low is not None
    assert found.high is not None
    ends = sorted((abs(found.low), abs(found.high)))
    assert found.tau == pytest.approx(sign)
    assert ends[1] == 1.0
    assert ends[0] < 0.5


def test_too_little_is_no_agreement():
    assert agreement(1, []) is agreement(1, [(1.0, 2.0)]) is None
    assert agreement(1, [(1.0, 2.0), (1.0, 3.0), (1.0, 4.0)]) is None
    few = agreement(1, [(1.0, 2.0), (2.0, 3.0), (3.0, 4.0)])
    assert few is not None
    assert (few.tau, few.low, few.high) == (pytest.approx(1), None, None)


# -- told ----------------------------------------------------------------------------------------


def record(number: int, curve: list[float], spared: int | None = None) -> TrialRecord:
    state = "completed" if len(curve) == 9 else "stopped"
    return TrialRecord(
        number=number,
        config={},
        state=state,  # type: ignore[arg-type]
        curve=dict(enumerate(curve, 1)),
        spared=spared,
    )


def rising(last: float) -> list[float]:
    return [last - 9 + epoch for epoch in range(1, 10)]


def result(tmp_path: Path, *records: TrialRecord) -> SweepResult:
    made = sweep_result(tmp_path / "s", trials=len(records))
    settings = replace(made.sweep.settings, check_rungs=0.1, grace_period=3, reduction_factor=3.0)
    trials = [replace(r, config=t.config) for r, t in zip(records, made.trials, strict=True)]
    return SweepResult(replace(made.sweep, settings=settings), trials)


def test_what_stopping_would_have_cost_is_said_with_its_n(tmp_path: Path):
    records = [
        record(0, rising(80)), record(1, rising(85)), record(2, rising(70), spared=3),
        record(3, rising(83), spared=3), record(4, [50.0, 50.0, 50.0]), record(5, rising(84)),
    ]  # fmt: skip
    cost, *orders = foretold(result(tmp_path, *records))
    assert cost == (
        "2 trials that would have been stopped ran on to the end, to check that; the best of them "
        "(trial 3) came to 83.00 %, the best of the others (trial 1) to 85.00 %: stopping them "
        "would have cost nothing. That is a rough estimate, of n = 2 and one run each."
    )
    assert len(orders) == 1
    assert orders[0].startswith(
        "The order at epoch 3 and that at the last: Kendall's τ = 1.00 (95 % interval "
    )
    assert orders[0].endswith(" to 1.00, n = 5 completed trials).")


def test_one_that_would_have_been_stopped_may_be_the_best(tmp_path: Path):
    found = result(tmp_path, record(0, rising(80)), record(1, rising(86.5), spared=3))
    assert found.best is found.trials[1]
    assert "stopping it would have cost 6.50 points" in foretold(found)[0]
    alone = result(tmp_path, record(0, [1.0]), record(1, rising(86.5), spared=3))
    assert foretold(alone)[0].endswith("came to 86.50 %, and no other trial completed.")


def test_without_such_trials_nothing_is_said(tmp_path: Path):
    records = [record(0, rising(80)), record(1, rising(85)), record(2, [1.0], spared=1)]
    found = result(tmp_path, *records)
    assert foretelling(found) is None
    assert foretold(found) == [
        "No trial that would have been stopped ran on, so the rungs are not checked."
    ]
    settings = replace(found.sweep.settings, check_rungs=0.0)
    assert foretold(replace(found, sweep=replace(found.sweep, settings=settings))) == []


def test_summary_and_page_say_it_of_a_search(tmp_path: Path):
    source = Generated("distillation", 0)
    rungs = {"grace_period": 3, "reduction_factor": 3.0, "check_rungs": 0.4}
    plan = Plan(trials=40, sampler="random", **rungs)
    strategy = StudyStrategy(source, plan, 0)
    play(source, strategy, slots=4, epochs_total=None, seed=0)
    made = sweep_result(tmp_path / "s", trials=4)
    settings = replace(made.sweep.settings, base=source.base, **rungs)
    sweep = replace(made.sweep, settings=settings, searched=source.space.domains)
    found = SweepResult(sweep, read_trials(strategy.searcher.study))
    known = foretelling(found)
    assert known is not None
    assert len(known.spared) >= 3
    assert [one.epoch for one in known.agreements] == [3, 9]
    assert known.agreements[0].tau < known.agreements[1].tau
    console = Console(record=True, width=200)
    print_summary(found, console)
    said, page = console.export_text(), render(found, live=True)
    assert len(foretold(found)) == 3
    for sentence in foretold(found):
        assert sentence in said
        assert sentence.replace("'", "&#39;") in page
    assert "let run on though behind others after epoch 3, to check that" in page
