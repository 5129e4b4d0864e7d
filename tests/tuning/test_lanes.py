"""Several studies in one run: who gets the next slot, and whom a report belongs to."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import load_space
from tuning.engine.lanes import Lane, LaneSearcher, LaneStopping
from tuning.engine.trial import Work
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles
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
