"""A Ray of several nodes on this machine, and small searches that run on it."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from kd.config import SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from search_spaces import Space
from tuning.engine.lanes import Lane
from tuning.engine.run import run_trials
from tuning.engine.runtime import connected
from tuning.engine.share import share
from tuning.engine.trial import Work
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import open_study
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import EarlyStopping
from tuning.study.trials import TrialRecord

starts_a_cluster = pytest.mark.skipif(
    os.environ.get("KD_TEST_CLUSTER") != "1", reason="`make test-cluster` starts clusters"
)
"""On a test that takes minutes."""

SPLIT = SplitConfig(val_fraction=0.5, train_size=100)


@contextmanager
def cluster(nodes: Sequence[int]) -> Iterator[Cluster]:
    """A node with so many cores for every number; the first is the head, and none is shared."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    limits = {"object_store_memory": 100 * 2**20, "memory": 2**30}
    made = Cluster(initialize_head=False)
    try:
        for index, cores in enumerate(nodes):
            head = {"include_dashboard": False} if index == 0 else {}
            made.add_node(num_cpus=cores, **limits, **head)
        made.wait_for_nodes()
        yield made
    finally:
        made.shutdown()


class Spy(EarlyStopping):
    """Keeps every report, repeated ones too, and may act on it."""

    def __init__(self, rule=None, act=lambda report: None) -> None:
        super().__init__(rule)
        self.reports: list[dict] = []
        self._act = act

    def stops(self, report):
        self.reports.append(dict(report))
        self._act(report)
        return super().stops(report)

    def times(self, trial: int, epoch: int) -> list[float]:
        """How long each training of an epoch took: one value, if it was trained once.

        None for the epoch that ends a trial of several workers, which no rule is asked about.
        """
        found = {
            r["train_seconds"] for r in self.reports if (r["trial"], r["epoch"]) == (trial, epoch)
        }
        return sorted(found)


def search(
    made: Cluster, folder: Path, base: TrainConfig, trials: int, *, workers: int, spy: Spy
) -> dict[int, TrialRecord]:
    """The records of `trials` trainings of `base` on small digits."""
    images = train_val(open_dataset("digits").train, SPLIT)
    files = TrialFiles(shelf=Shelf(str(folder)), study="trial")
    with ExitStack() as opened:
        nodes = opened.enter_context(connected(made.address))
        study = opened.enter_context(open_study(folder / "study.log", "search", create=True))
        searcher = StudySearcher(study, Space({}), base, trials)
        lane = Lane(searcher, spy, Work(*images, files))
        run_trials([lane], share(nodes, None, None, workers), folder)
        until_all_is_free()
    return searcher.records


def until_all_is_free(seconds: float = 60) -> None:
    """Wait until every resource is free and no actor is left; what is not is the failure."""
    end = time.monotonic() + seconds
    while True:
        left = [a["ActorClassName"] for a in actors()]
        groups = [g for g in ray.util.placement_group_table().values() if g["state"] != "REMOVED"]
        free, all_cpus = ray.available_resources(), ray.cluster_resources()
        if not left and not groups and free.get("CPU") == all_cpus["CPU"]:
            return
        assert time.monotonic() < end, f"{left} and {groups} are left, {free} of {all_cpus} free"
        time.sleep(0.2)


def actors() -> list[dict]:
    """The actors that are not dead, but for the one of Ray's own that every cluster has."""
    return [
        actor
        for actor in ray._private.state.actors().values()
        if actor["State"] != "DEAD" and "AutoscalingCoordinator" not in actor["ActorClassName"]
    ]


def kill(class_name: str) -> None:
    """Kill the process of one actor of that class, as a machine short of memory does."""
    # Ray gives a class defined in a function its plain name at one time, the whole at another.
    pids = {actor["ActorClassName"].rpartition(".")[2]: actor["Pid"] for actor in actors()}
    assert class_name in pids, f"there are {sorted(pids)}"
    os.kill(pids[class_name], signal.SIGKILL)
