"""Soft-label memories: what is read back, on one worker and after several."""

import socket
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from kd.errors import UserError
from kd.parts import history as parts
from kd.parts.history import DenseHistory, Histories


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


def test_the_type_of_the_values_can_be_chosen():
    history = DenseHistory(3, (4,), torch.float64)
    written = random_probabilities(1, 4).double()
    history.write(torch.tensor([0]), written)
    got = history.read(torch.tensor([0]), torch.tensor([0]))
    assert got.dtype == torch.float64
    assert torch.equal(got, written)


def test_a_sync_without_other_workers_changes_nothing():
    history = DenseHistory(3, (4,))
    history.write(torch.tensor([1]), random_probabilities(1, 4))
    before = {name: value.clone() for name, value in history.state_dict().items()}
    history.sync()
    assert all(torch.equal(value, before[name]) for name, value in history.state_dict().items())


# -- forms ---------------------------------------------------------------------------------------

FORMS = {
    "dense": Histories(),
    "bfloat16": Histories(form="bfloat16"),
    "whole rows": Histories(form="compressed"),
    "three of a row": Histories(form="compressed", kept=3),
}
EVERY = torch.arange(6)


def written_and_read(histories, probabilities):
    samples, *shape = probabilities.shape
    history, indices = histories(samples, tuple(shape)), torch.arange(samples)
    history.write(indices, probabilities)
    labels = torch.zeros(samples, *(1 for _ in shape[:-1]), dtype=torch.int64)
    return history.read(indices, labels)


@pytest.mark.parametrize("histories", FORMS.values(), ids=FORMS)
def test_every_form_reads_distributions_and_labels(histories):
    history, labels = histories(6, (2, 30)), torch.tensor([[4], [29], [0], [1], [2], [3]])
    history.write(torch.tensor([4, 1]), random_probabilities(2, 2, 30))
    got = history.read(EVERY, labels)
    assert got.dtype == torch.float32
    assert (got >= 0).all()
    torch.testing.assert_close(got.sum(-1), torch.ones(6, 2), rtol=0, atol=2e-6)
    unseen = torch.tensor([0, 2, 3, 5])
    assert torch.equal(got[unseen], torch.eye(30)[labels[unseen]].expand(4, 2, 30))
    kept = history.read(EVERY, labels)
    got.zero_()
    assert torch.equal(history.read(EVERY, labels), kept), "what was read is not a copy"


@pytest.mark.parametrize(
    ("histories", "bits"), [(FORMS["bfloat16"], 8), (FORMS["whole rows"], 11)], ids=["8", "11"]
)
def test_half_precision_keeps_so_many_bits_of_every_probability(histories, bits):
    # Of logits that leave nothing below 6·10⁻⁵, from where on float16 has fewer bits.
    written = torch.linspace(0, 6, 60).view(6, 10).softmax(-1)
    got = written_and_read(histories, written)
    assert ((got / written - 1).abs() <= 2**-bits * 2).all()


def test_the_largest_are_kept_and_the_rest_is_spread_evenly():
    written = torch.tensor([[0.02, 0.5, 0.03, 0.25, 0.0, 0.05, 0.125, 0.025]])
    got = written_and_read(FORMS["three of a row"], written)
    # 0.875 is kept, and 0.125 falls to five classes.
    expected = torch.tensor([[0.025, 0.5, 0.025, 0.25, 0.025, 0.025, 0.125, 0.025]])
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 30.0, 200.0])
@pytest.mark.parametrize("kept", [1, 3, 128])
def test_a_compressed_row_is_a_distribution_however_sharp_it_is(scale, kept):
    generator = torch.Generator().manual_seed(0)
    written = (scale * torch.randn(50, 2, 1000, generator=generator)).softmax(-1)
    got = written_and_read(Histories(form="compressed", kept=kept), written)
    assert (got >= 0).all()
    torch.testing.assert_close(got.sum(-1), torch.ones(50, 2), rtol=0, atol=1e-5)
    largest, classes = written.topk(kept, dim=-1)
    kept_of_them = got.gather(-1, classes)
    near = (kept_of_them - largest).abs() <= largest * 2**-9 + 1e-7
    assert near.all(), "what is kept is kept to float16, even beside a probability of nearly 1"
    rest, expected = 1 - kept_of_them.double().sum(-1), 1 - largest.double().sum(-1)
    torch.testing.assert_close(rest, expected, rtol=2**-9, atol=3e-6)


@pytest.mark.parametrize(
    ("classes", "kept", "dtypes"),
    [
        (1, 128, [torch.float16]),
        (2, 128, [torch.float16]),
        (100, 128, [torch.float16]),
        (100, 10, [torch.float16, torch.uint8]),
        (256, 128, [torch.float16, torch.uint8]),
        (400, 128, [torch.float16, torch.int16]),
        (32768, 128, [torch.float16, torch.int16]),
        (40000, 128, [torch.float16, torch.int32]),
    ],
)
def test_a_row_is_kept_whole_where_that_takes_no_more(classes, kept, dtypes):
    histories = Histories(form="compressed", kept=kept)
    history = histories(2, (classes,))
    assert [entry.dtype for entry in history.entries()] == dtypes
    written = torch.zeros(1, classes)
    written[0, -1] = 1.0
    history.write(torch.tensor([1]), written)
    got = history.read(torch.tensor([0, 1]), torch.tensor([0, 0]))
    assert got[0, 0] == 1.0
    assert got[1, -1] == 1.0
    assert torch.equal(got.sum(-1), torch.ones(2))


@pytest.mark.parametrize("histories", FORMS.values(), ids=FORMS)
def test_what_is_no_number_is_not_hidden(histories):
    got = written_and_read(histories, torch.full((1, 30), torch.nan))
    assert got.isnan().all()


# -- on the host ---------------------------------------------------------------------------------


@pytest.fixture(params=[*FORMS, "three of a row, in memory"])
def both(request, tmp_path):
    """Memories of one form: on the device, and on the host."""
    name = request.param.partition(",")[0]
    folder = tmp_path if name == request.param else None
    usual = FORMS[name]
    return usual, Histories(form=usual.form, kept=usual.kept, host=True, folder=folder)


def test_memories_on_the_host_hold_the_same(both, tmp_path):
    one, other = (histories(6, (2, 30)) for histories in both)
    assert not list(tmp_path.iterdir()), "a file outlives its process"
    labels = torch.zeros(6, 1, dtype=torch.int64)
    for seed in range(3):
        indices = torch.randperm(6, generator=torch.Generator().manual_seed(seed))[:4]
        for history in (one, other):
            history.write(indices, random_probabilities(4, 2, 30, seed=seed))
        assert torch.equal(one.read(EVERY, labels), other.read(EVERY, labels))
    state, mapped = one.state_dict(), other.state_dict()
    assert state.keys() == mapped.keys()
    assert all(torch.equal(value, mapped[name]) for name, value in state.items())
    assert {name for name, _ in other.named_buffers()} == {"seen", "_written"}
    again, moved = (histories(6, (2, 30)) for histories in both)
    again.load_state_dict(mapped)
    moved.load_state_dict(state)
    for history in (again, moved.double()):
        assert torch.equal(history.read(EVERY, labels), one.read(EVERY, labels))


def test_a_batch_in_slots_is_read_and_written_there_until_it_is_flushed(both):
    one, other = (histories(6, (2, 30)) for histories in both)
    labels, rows, device = torch.zeros(2, 1, dtype=torch.int64), other.mapped, torch.device("cpu")
    slots = None
    for seed, batch in enumerate(([0, 1], [2, 3], [1, 0], [0, 2])):
        indices = torch.tensor(batch)
        rows.fetch(indices, device)
        slots = slots or [slot.data_ptr() for slot in rows._slots]
        assert slots == [slot.data_ptr() for slot in rows._slots], "a graph would not find them"
        assert torch.equal(one.read(indices, labels), other.read(indices, labels))
        before = [entry.clone() for entry in other.entries()]
        for history in (one, other):
            history.write(indices, random_probabilities(2, 2, 30, seed=seed))
        assert torch.equal(one.read(indices, labels), other.read(indices, labels))
        assert all(map(torch.equal, before, other.entries())), "written before its step ended"
        rows.flush()
        assert all(map(torch.equal, one.entries(), other.entries()))
    rows.fetch(torch.tensor([4, 5]), device)
    other.write(torch.tensor([4, 5]), random_probabilities(2, 2, 30))
    rows.forget()
    assert all(map(torch.equal, one.entries(), other.entries())), "a warm-up left a trace"


def test_a_step_that_only_reads_changes_nothing(both):
    history = both[1](6, (2, 30))
    history.write(EVERY, random_probabilities(6, 2, 30))
    before = [entry.clone() for entry in history.entries()]
    for batch in ([0, 1], [2, 3]):
        history.mapped.fetch(torch.tensor(batch), torch.device("cpu"))
        history.mapped.flush()
    assert all(map(torch.equal, before, history.entries()))


def test_a_disk_without_room_says_so_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match=r"cannot be kept in .*; set TMPDIR to a folder with"):
        Histories(host=True, folder=tmp_path)(2**40, (1000,))
    with pytest.raises(UserError, match="No such file"):
        Histories(host=True, folder=tmp_path / "nowhere")(2, (3,))


# -- checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [False, True])
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("other", FORMS)
def test_a_checkpoint_of_another_form_is_refused_in_one_sentence(name, other, host, tmp_path):
    state = FORMS[name](6, (2, 30)).state_dict()
    usual = FORMS[other]
    place = {"host": host, "folder": tmp_path}
    history = Histories(form=usual.form, kept=usual.kept, **place)(6, (2, 30))
    if name == other:
        history.load_state_dict(state)
        return
    with pytest.raises(UserError, match=r"in another form than this run; give `history`"):
        history.load_state_dict(state)


@pytest.mark.parametrize("host", [False, True])
def test_a_state_that_lacks_entries_is_refused(host, tmp_path):
    history = Histories(host=host, folder=tmp_path)(6, (2, 30))
    with pytest.raises(RuntimeError, match=r"Missing key.*values"):
        history.load_state_dict({"seen": history.seen})
    history.load_state_dict({"seen": history.seen}, strict=False)


# -- several workers -----------------------------------------------------------------------------

# Two epochs of two workers: {worker: samples}. In the second, sample 2 is written by both, sample
# 0 by the other one than before, sample 3 by none.
EPOCHS = ({0: [0, 2, 3], 1: [1, 4]}, {0: [2, 1], 1: [0, 2]})


def work(rank, port, results, histories):
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    # A row at a time, as of a memory that is too large to be sent at once.
    parts.CHUNK = 1
    history = histories[rank](6, (2, 4))
    for epoch, share in enumerate(EPOCHS):
        values = random_probabilities(6, 2, 4, seed=10 * epoch + rank)
        indices = torch.tensor(share[rank])
        history.write(indices, values[indices])
        history.sync()
    torch.save(history.state_dict(), f"{results}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("form", "mapped"), [("dense", 0), ("bfloat16", 0), ("compressed", 0), ("compressed", 1)]
)
def test_workers_end_an_epoch_with_what_any_of_them_wrote(form, mapped, tmp_path):
    """In any form, and where the second keeps its entries in files of its own."""
    one = Histories(form=form, kept=1)
    pair = one, Histories(form=form, kept=1, host=bool(mapped), folder=tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, (port, str(tmp_path), pair), nprocs=2)
    states = tuple(torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())

    def written(epoch, rank, sample):
        values = random_probabilities(6, 2, 4, seed=10 * epoch + rank)
        return written_and_read(one, values)[sample]

    history = one(6, (2, 4))
    history.load_state_dict(states[0])
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
