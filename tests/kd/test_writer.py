"""When a state is written, and that its thread takes nothing along and leaves nothing behind."""

import errno
import threading
import weakref
from pathlib import Path

import pytest
import torch
from full_disk import no_file_above

from kd.training import checkpoint
from kd.training.writer import AT_RISK, SHARE, CheckpointWriter, is_due

# -- when ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("work", "epoch", "cost", "due"),
    [
        # What one costs is not known yet.
        (0.1, 0.1, None, True),
        (500.0, 500.0, None, True),
        # A small network: whenever it is cheap, for a hundred epochs or from epoch to epoch.
        (0.1, 0.1, 0.006, False),
        (0.2, 0.1, 0.006, True),
        (1.0, 1.0, 0.05, True),
        (0.1, 0.1, 0.0, True),
        # LSSKD on CIFAR-100, 1.4 GB in 4.4 s by the thread: about once a minute.
        (10.0, 10.0, 4.9, False),
        (40.0, 10.0, 4.9, False),
        (50.0, 10.0, 4.9, True),
        # A minute may be lost, and what the thread takes is lost with it.
        (29.0, 29.0, 1.99, False),
        (29.0, 29.0, 2.01, True),
        # Where an epoch is longer than that, after every epoch.
        (61.0, 61.0, 4.0, True),
        (600.0, 600.0, 1000.0, True),
        (31.0, 31.0, 20.0, True),
    ],
)
def test_a_state_is_written_where_that_is_cheap_or_much_would_be_lost(work, epoch, cost, due):
    assert is_due(work, epoch, cost) is due


@pytest.mark.parametrize("cost", [0.001, 0.1, 1.0, 5.0, 20.0])
@pytest.mark.parametrize("epoch", [0.01, 0.3, 2.0, 9.0, 31.0, 59.0, 300.0])
def test_over_a_run_neither_more_is_spent_nor_more_is_lost_than_allowed(epoch, cost):
    """Played: an end just before a state is whole takes what was trained since the last one."""
    work = trained = spent = lost = 0.0
    for _ in range(2000):
        work, trained = work + epoch, trained + epoch
        lost = max(lost, work + cost)
        if is_due(work, epoch, cost):
            work, spent = 0.0, spent + cost
    assert lost <= max(epoch + cost, AT_RISK) + 1e-9
    if cost / SHARE + 2 * epoch + cost <= AT_RISK:
        assert spent <= SHARE * trained


# -- the thread ------------------------------------------------------------------------------


class Gate:
    """Writes states to a list, each when it is let."""

    def __init__(self, *, open_: bool = False) -> None:
        self.written: list[dict] = []
        self.threads: list[threading.Thread] = []
        self.begun = threading.Event()
        self.let = threading.Event()
        if open_:
            self.let.set()

    def __call__(self, state: dict) -> None:
        self.begun.set()
        assert self.let.wait(60)
        self.threads.append(threading.current_thread())
        self.written.append(state)


def state_of(tensor: torch.Tensor, epoch: int):
    return lambda: {"epoch": epoch, "method": {"w": tensor}, "history": [{"epoch": epoch}]}


def test_what_is_written_is_the_state_that_was_offered():
    gate, live = Gate(), torch.zeros(1000)
    with CheckpointWriter(gate) as writer:
        writer.offer(1, 1.0, state_of(live, 1))
        assert gate.begun.wait(60)
        live.fill_(7)
        assert writer.saved == 0, "it is not whole yet"
        gate.let.set()
    assert writer.saved == 1
    (written,) = gate.written
    assert not written["method"]["w"].any()
    assert gate.threads[0] is not threading.current_thread()


def test_one_is_on_its_way_at_a_time_and_what_comes_meanwhile_is_not_even_copied():
    gate, live = Gate(), torch.zeros(3)

    def never():
        raise AssertionError("it was asked for its state")

    with CheckpointWriter(gate) as writer:
        writer.offer(1, 100.0, state_of(live, 1))
        assert gate.begun.wait(60)
        for epoch in (2, 3, 4):
            writer.offer(epoch, 100.0, never)
        gate.let.set()
        writer.settle()
        writer.offer(5, 100.0, state_of(live, 5))
    assert [state["epoch"] for state in gate.written] == [1, 5]


def test_epochs_that_are_asked_for_are_written_in_any_case():
    gate, live = Gate(open_=True), torch.zeros(3)

    def slow(state):
        gate(state)
        threading.Event().wait(0.02)

    with CheckpointWriter(slow, always=(3, 4)) as writer:
        for epoch in range(1, 7):
            # An epoch of no time at all: after the first, none is worth it by itself.
            writer.offer(epoch, 1e-6, state_of(live, epoch))
    assert [state["epoch"] for state in gate.written] == [1, 3, 4]
    assert writer.saved == 4


def test_the_last_one_is_written_here_and_now_and_once():
    gate, live = Gate(open_=True), torch.zeros(3)
    writer = CheckpointWriter(gate)
    writer.offer(1, 1.0, state_of(live, 1))
    writer.finish(2, state_of(live, 2))
    writer.finish(2, state_of(live, 2))
    assert [state["epoch"] for state in gate.written] == [1, 2]
    assert gate.threads[1] is threading.current_thread()
    assert gate.written[1]["method"]["w"] is live, "nothing is copied where nothing trains on"
    assert writer.saved == 2


def fail(state):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_goes_wrong_in_the_thread_is_raised_by_the_next_call_once():
    for call in (
        lambda writer: writer.offer(2, 100.0, state_of(torch.zeros(1), 2)),
        lambda writer: writer.finish(2, state_of(torch.zeros(1), 2)),
        lambda writer: writer.settle(),
        lambda writer: writer.__exit__(None, None, None),
    ):
        writer = CheckpointWriter(fail)
        writer.offer(1, 100.0, state_of(torch.zeros(1), 1))
        writer._thread.join()
        with pytest.raises(OSError, match="No space left"):
            call(writer)
        writer.settle()
        assert writer.saved == 0


def test_what_ends_the_run_is_not_hidden_by_what_goes_wrong_in_the_thread():
    def run(end):
        with CheckpointWriter(fail) as writer:
            writer.offer(1, 100.0, state_of(torch.zeros(1), 1))
            raise end

    for end in (KeyboardInterrupt, SystemExit, ValueError):
        with pytest.raises(end):
            run(end)


def test_a_disk_without_room_is_an_oserror_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "c.pt"
    checkpoint.save({"epoch": 0}, path)
    writer = CheckpointWriter(lambda state: checkpoint.save(state, path))
    with no_file_above(10_000):
        writer.offer(1, 1.0, state_of(torch.zeros(100_000), 1))
        with pytest.raises(OSError, match="File too large"):
            writer.settle()
    assert checkpoint.load(path) == {"epoch": 0}
    assert [found.name for found in tmp_path.iterdir()] == ["c.pt"]


def resident() -> int:
    """Bytes of this process's memory that are its own."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_hundreds_of_runs_leave_neither_threads_nor_copies(tmp_path):
    live, before = torch.zeros(2**20), threading.active_count()
    copies: list[weakref.ref] = []

    def write(state):
        copies.append(weakref.ref(state["method"]["w"]))
        if len(copies) % 3 == 0:
            fail(state)

    held = 0
    for run in range(300):
        end = (None, SystemExit, KeyError)[run // 3 % 3]
        try:
            with CheckpointWriter(write) as writer:
                writer.offer(1, 1.0, state_of(live, 1))
                if end:
                    raise end
        except (SystemExit, KeyError, OSError):
            pass
        if run == 20:
            held = resident()
    assert len(copies) == 300
    assert threading.active_count() == before
    del writer
    assert not [copy for copy in copies if copy() is not None]
    assert resident() < held + 20 * live.nbytes
