"""Soft-label memories: what is read back, on one worker and after several."""

import socket
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from kd.parts.history import DenseHistory


def random_probabilities(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).softmax(-1)


def test_what_was_never_written_reads_as_the_label():
    got = DenseHistory(6, (3,)).read(torch.tensor([5, 0]), torch.tensor([2, 1]))
    assert torch.equal(got, torch.tensor([[0.0, 0, 1], [0, 1, 0]]))


def test_every_row_of_a_sample_has_its_own_label():
    labels = torch.tensor([[[0, 1]], [[2, 3]]])
    got = DenseHistory(6, (3, 2, 4)).read(torch.tensor([5, 0]), labels)
    assert torch.equal(got, torch.eye(4)[labels].expand(2, 3, 2, 4))


def test_what_was_written_is_read_by_sample_whatever_its_label():
    history = DenseHistory(6, (2, 4))
    written = random_probabilities(3, 2, 4)
    history.write(torch.tensor([4, 1, 2]), written)
    got = history.read(torch.tensor([2, 3, 4]), torch.tensor([[0], [1], [2]]))
    assert torch.equal(got[[0, 2]], written[[2, 0]])
    assert torch.equal(got[1], torch.eye(4)[1].expand(2, 4))


def test_the_last_write_counts():
    history = DenseHistory(2, (4,))
    for seed in (0, 1):
        history.write(torch.tensor([1]), random_probabilities(1, 4, seed=seed))
    got = history.read(torch.tensor([1]), torch.tensor([0]))
    assert torch.equal(got, random_probabilities(1, 4, seed=1))


def test_what_is_read_is_a_copy_and_what_is_written_carries_no_graph():
    history = DenseHistory(2, (4,))
    z = torch.zeros(1, 4, requires_grad=True)
    history.write(torch.tensor([0]), z.softmax(-1))
    history.read(torch.tensor([0]), torch.tensor([0])).zero_()
    got = history.read(torch.tensor([0]), torch.tensor([0]))
    assert torch.equal(got, torch.full((1, 4), 0.25))
    assert not got.requires_grad


def test_a_checkpoint_carries_the_history():
    history, again = DenseHistory(5, (2, 3)), DenseHistory(5, (2, 3))
    history.write(torch.tensor([3]), random_probabilities(1, 2, 3))
    again.load_state_dict(history.state_dict())
    indices, labels = torch.tensor([3, 4]), torch.tensor([[0], [2]])
    assert torch.equal(history.read(indices, labels), again.read(indices, labels))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_type_of_the_values_can_be_chosen(dtype):
    history = DenseHistory(3, (4,), dtype)
    written = random_probabilities(1, 4).to(dtype)
    history.write(torch.tensor([0]), written)
    got = history.read(torch.tensor([0]), torch.tensor([0]))
    assert got.dtype == dtype
    assert torch.equal(got, written)


def test_a_sync_without_other_workers_changes_nothing():
    history = DenseHistory(3, (4,))
    history.write(torch.tensor([1]), random_probabilities(1, 4))
    before = {name: value.clone() for name, value in history.state_dict().items()}
    history.sync()
    assert all(torch.equal(value, before[name]) for name, value in history.state_dict().items())


# Two epochs of two workers: {worker: samples}. In the second, sample 2 is written by both, sample
# 0 by the other one than before, sample 3 by none.
EPOCHS = ({0: [0, 2, 3], 1: [1, 4]}, {0: [2, 1], 1: [0, 2]})


def work(rank, port, results):
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    history = DenseHistory(6, (2, 4))
    for epoch, share in enumerate(EPOCHS):
        values = random_probabilities(6, 2, 4, seed=10 * epoch + rank)
        indices = torch.tensor(share[rank])
        history.write(indices, values[indices])
        history.sync()
    torch.save(history.state_dict(), f"{results}/{rank}.pt")
    dist.destroy_process_group()


def test_workers_end_an_epoch_with_what_any_of_them_wrote(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, (port, str(tmp_path)), nprocs=2)
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(value, other[name]) for name, value in one.items())

    def written(epoch, rank, sample):
        return random_probabilities(6, 2, 4, seed=10 * epoch + rank)[sample]

    history = DenseHistory(6, (2, 4))
    history.load_state_dict(one)
    got = history.read(torch.arange(6), torch.zeros(6, 1, dtype=torch.int64))
    expected = [
        written(1, 1, 0),
        written(1, 0, 1),
        written(1, 0, 2),
        written(0, 0, 3),
        written(0, 1, 4),
        torch.eye(4)[0].expand(2, 4),
    ]
    assert torch.equal(got, torch.stack(expected))
