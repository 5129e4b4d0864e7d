"""What becomes of a sweep whose trials lose a process, a machine, or their temper."""

import errno
import time
from dataclasses import replace
from threading import Timer

import pytest
import ray
from ray.core.generated import autoscaler_pb2
from small_cluster import Spy, cluster, kill, search, starts_a_cluster

from kd.config import TeacherConfig, TrainConfig
from kd.training import checkpoint
from tuning.engine.trial import patiently
from tuning.study.rules import Asha

# Long enough that a machine goes while it trains.
CE = TrainConfig.paper("ce", "resnet8", "digits", epochs=15, batch_size=4)
RUNGS = Asha(tuple(range(1, CE.epochs)), 3)
"""Every epoch, so that it is known which are kept; the paper's default is never stopped."""
NOWHERE = TeacherConfig(weights="nowhere.safetensors")


@pytest.fixture(scope="module")
def two_cores():
    """A cluster of one machine. A search on it fails if it leaves anything to the next one."""
    with cluster([2]) as made:
        yield made


def once_after(epoch, act):
    """An act for a `Spy`: it happens when the first trial has told of that epoch."""
    done = []

    def on_report(report):
        if (report["trial"], report["epoch"]) == (0, epoch) and not done:
            done.append(True)
            act()

    return on_report


def check_that_nothing_was_lost(records, spy, epochs, lost_after, *, at_once=True):
    """Every trial has its whole curve, as it was first told.

    One epoch was trained again at most: the one that was told of when the fault came, before its
    checkpoint. All are rungs here, so every other one that was told of was kept. Where the fault
    does not come `at_once`, it is a later one.
    """
    for number, record in records.items():
        assert record.state == "completed", record.reason
        assert sorted(record.curve) == list(range(1, epochs + 1))
        often = {epoch: len(spy.times(number, epoch)) for epoch in record.curve}
        again = {epoch: times for epoch, times in often.items() if times > 1}
        assert len(again) <= 1, again
        for epoch, times in again.items():
            assert times == 2, again
            assert epoch == lost_after if at_once else epoch >= lost_after, again
        for epoch, value in record.curve.items():
            told = [
                r["val_acc"] for r in spy.reports if (r["trial"], r["epoch"]) == (number, epoch)
            ]
            assert not told or value == told[0]


@starts_a_cluster
@pytest.mark.timeout(900)
def test_a_lost_machine_moves_its_trial_to_another(tmp_path):
    with cluster([0, 1]) as made:

        def lose_a_machine():
            (first,) = made.worker_nodes
            made.add_node(num_cpus=1, object_store_memory=100 * 2**20, memory=2**30)
            made.remove_node(first, allow_graceful=False)

        spy = Spy(RUNGS, act=once_after(3, lose_a_machine))
        records = search(made, tmp_path, CE, 1, workers=1, spy=spy)
    # Whoever removes a machine is told before it is gone.
    check_that_nothing_was_lost(records, spy, CE.epochs, lost_after=3, at_once=False)


def tell_to_go(made, node_id):
    """As `ray drain-node` does; nobody takes this machine back in the end."""
    client = ray._raylet.GcsClient(address=made.address)
    reason = autoscaler_pb2.DRAIN_NODE_REASON_PREEMPTION
    taken, why = client.drain_node(node_id, reason, "notice", int(time.time() + 120) * 1000)
    assert taken, why


@starts_a_cluster
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_machine_that_is_told_to_go_gives_its_trial_back(workers, tmp_path, monkeypatch, capsys):
    """Nothing is trained twice, and no crash is counted: here the first would be one too many."""
    monkeypatch.setattr("tuning.engine.run.CRASHES", 1)
    with cluster([0, *[1] * workers]) as made:

        def notice():
            first = made.worker_nodes.copy().pop()
            made.add_node(num_cpus=1, object_store_memory=100 * 2**20, memory=2**30)
            tell_to_go(made, first.node_id)

        # No epoch is a rung, so that only the one of the notice has to be kept.
        spy = Spy(act=once_after(3, notice))
        records = search(made, tmp_path, replace(CE, epochs=60), 1, workers=workers, spy=spy)
    said = [line for line in capsys.readouterr().out.splitlines() if "told to go" in line]
    assert said == ["trial 0 leaves a machine that is told to go; it goes on where there is room."]
    check_that_nothing_was_lost(records, spy, 60, lost_after=0)
    assert len(spy.reports) > 60 - (workers > 1), "it told of its epochs again, so it did move"
    assert all(len(spy.times(0, epoch)) == 1 for epoch in range(1, 60))


@starts_a_cluster
@pytest.mark.timeout(900)
def test_a_machine_that_is_told_to_go_as_a_trial_ends_is_given_no_other(tmp_path, capsys):
    """Though the process that trained the one is used again for the next."""
    with cluster([0, 1]) as made:

        def notice(report):
            if (report["trial"], report["epoch"]) == (0, 2):
                (first,) = made.worker_nodes
                made.add_node(num_cpus=1, object_store_memory=100 * 2**20, memory=2**30)
                tell_to_go(made, first.node_id)

        spy = Spy(act=notice)
        records = search(made, tmp_path, replace(CE, epochs=2), 2, workers=1, spy=spy)
    assert "trial 1 leaves a machine that is told to go" in capsys.readouterr().out
    assert sorted(records) == [0, 1]
    told = [(report["trial"], report["epoch"]) for report in spy.reports]
    assert told == [(0, 1), (0, 2), (1, 1), (1, 2)], "an epoch that is told twice was begun there"


@starts_a_cluster
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("workers", "process"), [(1, "ImplicitFunc"), (2, "RayTrainWorker")])
def test_a_killed_process_goes_on_after_its_last_checkpoint(workers, process, two_cores, tmp_path):
    spy = Spy(RUNGS, act=once_after(3, lambda: kill(process)))
    records = search(two_cores, tmp_path, CE, 1, workers=workers, spy=spy)
    told = [report["epoch"] for report in spy.reports]
    assert len(told) > CE.epochs, "it told of its epochs again, so it did begin again"
    check_that_nothing_was_lost(records, spy, CE.epochs, lost_after=3)


@starts_a_cluster
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_fails_its_trial_with_a_sentence_and_the_next_one_begins(
    workers, two_cores, tmp_path
):
    lost = replace(
        TrainConfig.paper("kd", "resnet8", "digits", epochs=2, batch_size=30), teacher=NOWHERE
    )
    records = search(two_cores, tmp_path, lost, 2, workers=workers, spy=Spy())
    assert sorted(records) == [0, 1]
    for record in records.values():
        assert record.state == "failed"
        assert "nowhere.safetensors" in record.reason, "a crash would have been tried again"


def test_a_storage_that_fails_for_a_while_is_tried_again(tmp_path):
    folder = tmp_path / "storage"
    folder.write_text("where the folder should be is a file, for now")
    Timer(0.5, folder.unlink).start()
    patiently(lambda: checkpoint.save({"epoch": 1}, folder / "c.pt"))
    assert checkpoint.load(folder / "c.pt") == {"epoch": 1}


def test_a_full_disk_is_told_at_once():
    tries = []

    def full():
        tries.append(True)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        patiently(full)
    assert len(tries) == 1
