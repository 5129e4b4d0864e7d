"""Trials of several workers: what they hold, and that nothing of it is left behind."""

import itertools

import pytest
from small_cluster import Spy, cluster, search, starts_a_cluster

from kd.config import TrainConfig
from kd.errors import UserError
from tuning.engine.share import share
from tuning.study.rules import Judged

CE = TrainConfig.paper("ce", "resnet8", "digits", epochs=3, batch_size=30)


STOPPED = 3
"""Two trials run at once, and each holds two of the four cores. If every one that is stopped kept
its placement group, the third would find no room; a single one that is kept is seen at the end."""


class AfterTheFirst:
    """Stops every trial but the reference at once."""

    judged = Judged(rungs=(1, 2))

    def should_stop(self, number, epoch, curves):
        return True


@starts_a_cluster
@pytest.mark.timeout(1800)
def test_stopped_trials_of_two_workers_leave_everything_free(tmp_path):
    """On four nodes of one core, without the dashboard that Ray Train cleans up by."""
    with cluster([1, 1, 1, 1]) as made:
        records = search(made, tmp_path, CE, 1 + STOPPED, workers=2, spy=Spy(AfterTheFirst()))
    trials = [records[n] for n in range(1 + STOPPED)]
    assert [t.state for t in trials] == ["completed"] + ["stopped"] * STOPPED
    assert [t.epoch for t in trials] == [3] + [1] * STOPPED
    kept = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert kept == ["trial-0000.pt"], "nothing was begun that could come after a trial's end"


CORNERS = list(
    itertools.product(
        [[1], [2], [4], [1, 1], [2, 2], [3, 3, 3], [0, 8], [1, 3]],
        [[0], [1], [2], [0, 1], [4, 0, 1]],
        [None, 1, 2, 3, 4],
        [None, 0.0, 0.25, 0.4, 0.5, 1.0, 1.5, 2.0, 3.0],
        [1, 2, 3],
    )
)


def place(nodes, worker, number):
    """Whether `number` workers find room at once, taken one by one, each where there is some."""
    free = [dict(node) for node in nodes]
    for node in free:
        node["GPU"] = [1.0] * int(node["GPU"])
    for _ in range(number):
        for node in free:
            gpus, cpus = worker.get("GPU", 0), worker.get("CPU", 0)
            count = max(1, int(gpus)) if gpus else 0
            fitting = [i for i, left in enumerate(node["GPU"]) if left + 1e-9 >= min(gpus, 1)]
            if node["CPU"] >= cpus and len(fitting) >= count:
                node["CPU"] -= cpus
                for index in fitting[:count]:
                    node["GPU"][index] -= min(gpus, 1)
                break
        else:
            return False
    return True


def test_every_mixture_is_refused_in_a_sentence_or_has_room_for_all_its_trials():
    refused = []
    for cores, gpus, cpus_per_trial, gpus_per_trial, workers in CORNERS:
        given = itertools.zip_longest(cores, gpus, fillvalue=0)
        nodes = [{"CPU": float(c), "GPU": float(g)} for c, g in given]
        try:
            part = share(nodes, cpus_per_trial, gpus_per_trial, workers)
        except UserError as error:
            refused.append(str(error))
            continue
        assert part.slots >= 1
        assert part.workers == workers
        assert place(nodes, part.per_worker, part.slots * workers), (nodes, part)
        assert gpus_per_trial is None or part.gpus == gpus_per_trial
        assert workers == 1 or part.gpus % workers == 0
    assert 0 < len(refused) < len(CORNERS)
    assert all(sentence.startswith("--") for sentence in refused)


@pytest.mark.parametrize(
    ("nodes", "arguments", "sentence"),
    [
        ([{"CPU": 2.0}, {"CPU": 2.0}], (4, None, 1), "--cpus-per-trial is 4"),
        ([{"CPU": 4.0}], (3, None, 2), "give 4"),
        ([{"CPU": 1.0}], (None, None, 2), "room for 1 of 2 such workers"),
        ([{"CPU": 4.0, "GPU": 2.0}], (None, 1.5, 1), "whole number"),
        ([{"CPU": 4.0, "GPU": 2.0}], (None, 0.5, 2), "whole number"),
        ([{"CPU": 4.0, "GPU": 4.0}], (None, 3.0, 2), "give 4"),
        ([{"CPU": 4.0}], (None, 1.0, 1), "but there is no GPU; leave it away"),
        ([{"CPU": 4.0, "GPU": 1.0}, {"CPU": 4.0, "GPU": 1.0}], (None, 2.0, 1), "room for 0 of 1"),
    ],
)
def test_what_no_machine_can_hold_is_refused(nodes, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        share(nodes, *arguments)


def test_a_fraction_packs_gpus_and_shares_their_machines_cores():
    nodes = [{"CPU": 8.0}, {"CPU": 8.0, "GPU": 2.0}, {"CPU": 12.0, "GPU": 2.0}]
    part = share(nodes, None, 0.25)
    assert (part.slots, part.cpus, part.gpus) == (16, 1, 0.25)
    part = share(nodes, None, None)
    assert (part.slots, part.cpus, part.gpus) == (4, 4, 1.0)
    part = share(nodes, None, None, 2)
    assert (part.slots, part.cpus, part.gpus) == (2, 8, 2.0)
    assert part.per_worker == {"CPU": 4, "GPU": 1.0}
