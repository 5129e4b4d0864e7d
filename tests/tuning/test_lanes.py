"""Several studies in one run: who gets the next slot, and whom a report belongs to."""

from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace

import pytest

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import load_space
from tuning.engine.lanes import Lane, LaneSearcher, LaneStopping
from tuning.engine.trial import Work
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles
from tuning.study.budget import Budget
from tuning.study.journal import open_study
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import make_stopping

BASE = TrainConfig.paper("pskd", "resnet8", "digits", epochs=3)


@pytest.fixture
def lanes(tmp_path):
    with ExitStack() as opened:
        made = []
        for name, trials in (("long", 6), ("short", 2)):
            study = opened.enter_context(
                open_study(tmp_path / f"{name}.log", "search", create=True)
            )
            searcher = StudySearcher(study, load_space("pskd", "resnet8"), BASE, trials)
            files = TrialFiles(shelf=Shelf(str(tmp_path)), study=name)
            stopping = make_stopping("none", BASE.epochs)
            made.append(Lane(searcher, stopping, Work(None, None, files)))
        yield made


def end(searcher, trial_id, value=50.0):
    searcher.on_trial_complete(trial_id, {"epoch": BASE.epochs, "val_acc": value, "done": True})


def test_free_slots_go_to_the_lane_with_the_fewest_running_trials(lanes):
    searcher = LaneSearcher(lanes)
    given = [searcher.suggest(f"t{n}")["lane"] for n in range(4)]
    assert given == [0, 1, 0, 1]
    end(searcher, "t0")
    end(searcher, "t2")
    assert searcher.suggest("t4")["lane"] == 0, "the second lane still runs two"


def test_a_lane_that_is_finished_leaves_its_slots_to_the_others(lanes):
    searcher = LaneSearcher(lanes)
    given = []
    for n in range(9):
        assignment = searcher.suggest(f"t{n}")
        if assignment == "FINISHED":
            break
        given.append(assignment["lane"])
        end(searcher, f"t{n}")
    assert (given.count(0), given.count(1)) == (6, 2)
    assert assignment == "FINISHED"


def test_a_lane_runs_no_more_at_once_than_it_may(lanes):
    searcher = LaneSearcher([replace(lanes[0], at_once=2), lanes[1]])
    given = [searcher.suggest(f"t{n}")["lane"] for n in range(4)]
    assert given == [0, 1, 0, 1]
    assert searcher.suggest("t4") is None, "later, not never"
    end(searcher, "t1")
    assert searcher.suggest("t4") is None
    end(searcher, "t0")
    assert searcher.suggest("t4")["lane"] == 0


def test_reports_reach_the_study_of_their_own_lane(lanes):
    searcher = LaneSearcher(lanes)
    for n in range(2):
        searcher.suggest(f"t{n}")
    searcher.on_trial_result("t1", {"trial": 0, "epoch": 1, "val_acc": 33.0})
    assert lanes[0].searcher.records[0].curve == {}
    assert lanes[1].searcher.records[0].curve == {1: 33.0}
    end(searcher, "t1", 44.0)
    assert lanes[1].searcher.records[0].state == "completed"
    assert lanes[0].searcher.records[0].state == "running"


def test_trials_do_not_train_on_for_a_study_that_cannot_be_written(lanes):
    searcher, stopping = LaneSearcher(lanes), LaneStopping(lanes)
    config = searcher.suggest("t0")
    trial, report = SimpleNamespace(config=config), {"trial": 0, "epoch": 1, "val_acc": 33.0}
    assert stopping.on_trial_result(None, trial, report) == "CONTINUE"
    lanes[1].searcher.error = UserError("The disk is full.")
    assert stopping.on_trial_result(None, trial, report | {"epoch": 2}) == "STOP"
    end(searcher, "t0")
    assert lanes[0].searcher.records[0].state == "running", "for --resume"


@pytest.mark.parametrize(("value", "state"), [(10.0, "stopped"), (90.0, "running")])
def test_where_a_bound_and_the_rule_end_a_trial_the_rule_decides(tmp_path, value, state):
    """Else it would pass the rung when the sweep goes on, as its epoch is told once."""
    with open_study(tmp_path / "s.log", "search", create=True) as study:
        budget = Budget(epochs=2 * BASE.epochs + 1)
        searcher = StudySearcher(study, load_space("pskd", "resnet8"), BASE, 9, budget=budget)
        files = TrialFiles(shelf=Shelf(str(tmp_path)), study="s")
        rule = make_stopping("asha", BASE.epochs, 1, 2)
        lanes = [Lane(searcher, rule, Work(None, None, files))]
        asked, stopping = LaneSearcher(lanes), LaneStopping(lanes)
        for number in range(3):
            config = asked.suggest(f"t{number}")
            trial = SimpleNamespace(config=config)
            for epoch in range(1, BASE.epochs + 1):
                score = value if number == 2 else 50.0 + number
                report = {"trial": number, "epoch": epoch, "val_acc": score}
                if stopping.on_trial_result(None, trial, report) == "STOP":
                    break
                asked.on_trial_result(f"t{number}", report)
            asked.on_trial_complete(f"t{number}", report)
        last = searcher.records[2]
        assert (searcher.over, last.epoch, last.state) == ("7 epochs", 1, state)
