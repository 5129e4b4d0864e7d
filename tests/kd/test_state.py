"""What is kept of a training: no teacher, memories apart, and a copy that nothing changes."""

import re
from pathlib import Path

import pytest
import torch

from kd.backbones import build_backbone
from kd.config import SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.errors import UserError
from kd.methods import build_method, config_class
from kd.methods.base import Task
from kd.parts.teacher import Teacher
from kd.training import checkpoint
from kd.training.state import MethodState, digest, snapshot
from kd.training.trainer import Place, Trainer

CPU = Place(device=torch.device("cpu"))
WITH_TEACHER = ["kd", "drkd"]
WITH_MEMORIES = {"pskd": {"history"}, "dtskd": {"history"}, "lsskd": {"history", "joint_history"}}


@pytest.fixture(scope="module")
def images():
    return train_val(open_dataset("digits").train, SplitConfig(val_fraction=0.6, train_size=75))


def network(seed=0):
    torch.manual_seed(seed)
    return build_backbone("resnet8", 10, 1)


def trainer(images, method, teacher=None, **changes):
    settings = TrainConfig.paper(method, "resnet8", "digits", epochs=3, batch_size=25, **changes)
    needed = settings.needs_teacher
    teachers = [Teacher(teacher or network())] if needed else []
    return Trainer(settings, *images, place=CPU, teachers=teachers)


def whole(made):
    """Everything that the rest of the run depends on, as the method and the optimizer have it."""
    momenta = made.optimizer.state_dict()["state"]
    return {
        **made.method.state_dict(),
        **{f"momentum {n}": own["momentum_buffer"] for n, own in momenta.items()},
    }


def assert_same(one, other):
    one, other = whole(one), whole(other)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def as_once(made):
    """A state as it was written when teachers and memories were a part of the method."""
    state = made.state()
    for later in ("memories", "teachers", "phase", "phase_epoch"):
        del state[later]
    for later in ("history", "further_teachers"):
        del state["config"][later]
    method = made.method.state_dict()
    renamed = {n.replace("teachers.0.network.", "teacher."): t for n, t in method.items()}
    return {**state, "method": renamed}


@pytest.mark.parametrize("method", WITH_TEACHER)
def test_the_teacher_is_not_in_a_checkpoint_and_another_one_is_refused(method, images, tmp_path):
    first = trainer(images, method)
    first.run_epoch()
    state = first.state()
    assert not [name for name in state["method"] if name.startswith("teacher")]
    checkpoint.save(state, tmp_path / "c.pt")
    weights = sum(t.nbytes for t in first.student.state_dict().values())
    assert (tmp_path / "c.pt").stat().st_size < 2.5 * weights, "weights, momentum, and no teacher"

    second = trainer(images, method)
    second.load_state(checkpoint.load(tmp_path / "c.pt"))
    assert_same(first, second)
    with pytest.raises(UserError, match=r"^The checkpoint learnt from another teacher; put that"):
        trainer(images, method, network(seed=1)).load_state(checkpoint.load(tmp_path / "c.pt"))


@pytest.mark.parametrize("method", WITH_MEMORIES)
def test_the_memories_are_apart(method, images):
    state = trainer(images, method).state()
    assert {name.partition(".")[0] for name in state["memories"]} == WITH_MEMORIES[method]
    assert not [name for name in state["method"] if "history" in name]
    assert trainer(images, "ce").state()["memories"] == {}


@pytest.mark.parametrize("method", [*WITH_TEACHER, *WITH_MEMORIES])
def test_a_checkpoint_of_the_old_form_goes_on(method, images, tmp_path):
    unbroken, first, second = (trainer(images, method) for _ in range(3))
    unbroken.fit()
    first.run_epoch()
    checkpoint.save(as_once(first), tmp_path / "c.pt")
    second.load_state(checkpoint.load(tmp_path / "c.pt"))
    assert second.epoch == 1
    second.fit()
    assert_same(unbroken, second)


def test_a_checkpoint_of_the_old_form_that_holds_another_teacher_is_refused(images):
    first = trainer(images, "kd", network(seed=1))
    with pytest.raises(UserError, match="another teacher"):
        trainer(images, "kd").load_state(as_once(first))


@pytest.mark.parametrize("part", ["memories", "method"])
def test_a_part_that_lacks_a_tensor_or_is_missing_is_no_checkpoint(part, images):
    def refused(state, sentence="cannot be read; delete"):
        with pytest.raises(UserError, match=f"^The checkpoint {sentence}"):
            trainer(images, "pskd").load_state(state)

    state = trainer(images, "pskd").state()
    refused({name: value for name, value in state.items() if name != part})
    refused({**state, part: dict(list(state[part].items())[1:])})
    refused({**state, part: None})
    reshaped = {**state, part: {name: value[None] for name, value in state[part].items()}}
    refused(reshaped, "keeps its soft labels in another form" if part == "memories" else "cannot")


@pytest.mark.parametrize("method", ["lsskd", "kd"])
def test_a_snapshot_is_not_changed_by_what_is_trained_after_it(method, images):
    made, again = trainer(images, method), trainer(images, method)
    made.run_epoch()
    live = made.state()
    held = snapshot(live)
    before = {name: value.clone() for name, value in whole(made).items()}
    made.fit()
    assert made.epoch == 3
    again.load_state(held)
    assert (again.epoch, len(again.history)) == (1, 1)
    for name, value in whole(again).items():
        assert torch.equal(value, before[name]), name


def test_what_was_loaded_is_not_changed_by_what_is_trained_after_it(images, tmp_path):
    made, again = trainer(images, "lsskd"), trainer(images, "lsskd")
    made.run_epoch()
    checkpoint.save(made.state(), tmp_path / "c.pt")
    before = (tmp_path / "c.pt").read_bytes()
    expected = {name: value.clone() for name, value in whole(made).items()}
    again.load_state(made.state())
    again.run_epoch()
    for name, value in whole(made).items():
        assert torch.equal(value, expected[name]), name
    again.load_state(checkpoint.load(tmp_path / "c.pt"))
    again.run_epoch()
    assert (tmp_path / "c.pt").read_bytes() == before


def test_what_is_loaded_goes_into_the_tensors_that_are_there(images, tmp_path):
    made, again = trainer(images, "lsskd"), trainer(images, "lsskd")
    made.run_epoch()
    checkpoint.save(made.state(), tmp_path / "c.pt")
    there = {name: value.data_ptr() for name, value in again.method.state_dict().items()}
    state = checkpoint.load(tmp_path / "c.pt")
    again.load_state(state)
    assert {n: v.data_ptr() for n, v in again.method.state_dict().items()} == there
    mapped = {value.untyped_storage().data_ptr() for value in state["memories"].values()}
    del state
    kept = {value.untyped_storage().data_ptr() for value in whole(again).values()}
    assert not mapped & kept, "nothing of the file is held on to"


def own_memory() -> int:
    """Bytes of this process that lie in no file."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s+(\d+) kB", status)[1])


def test_loading_takes_no_second_copy_of_a_memory(tmp_path):
    def method():
        task = Task(num_classes=10, num_samples=3_000_000, epochs=1)
        return build_method("pskd", config_class("pskd")(), network(), task, None)

    made, again = method(), method()
    made.history.values.fill_(0.5)
    again.history.values.fill_(0.1)
    checkpoint.save(MethodState(made).state(), tmp_path / "c.pt")
    size, before = made.history.values.nbytes, own_memory()
    assert size > 100e6
    state = checkpoint.load(tmp_path / "c.pt")
    MethodState(again).load(state)
    assert own_memory() < before + size / 5
    assert torch.equal(again.history.values, made.history.values)


def test_a_digest_tells_values_names_shapes_and_types_apart():
    tensors = {"a": torch.arange(6.0), "b": torch.tensor(3)}
    others = [
        {"a": torch.arange(6.0) + 1e-6, "b": torch.tensor(3)},
        {"a": torch.arange(6.0), "c": torch.tensor(3)},
        {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3)},
        {"a": torch.arange(6.0).view(torch.int32), "b": torch.tensor(3)},
        {"a": torch.arange(6.0)},
    ]
    assert len({digest(found) for found in (tensors, *others)}) == 6
    image = torch.randn(2, 3, 4, 4)
    turned = image.to(memory_format=torch.channels_last)
    assert digest({"a": image}) == digest({"a": turned}), "wherever the values lie"
    assert digest(dict(reversed(tensors.items()))) == digest(tensors)


def test_a_flipped_bit_anywhere_is_one_sentence(images, tmp_path):
    path = tmp_path / "c.pt"
    made = trainer(images, "ce")
    checkpoint.save(made.state(), path)
    content = path.read_bytes()
    read = 0
    for place in range(0, len(content), len(content) // 97):
        broken = bytearray(content)
        broken[place] ^= 0x10
        path.write_bytes(broken)
        try:
            made.load_state(checkpoint.load(path))
            read += 1
        except UserError:
            pass
    # Between what the archive holds lies padding, which means nothing.
    assert read < 30


# -- on a GPU --------------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_state_leaves_the_gpu_for_the_host_and_comes_back_without_a_second_copy(tmp_path):
    def method():
        task = Task(num_classes=10, num_samples=3_000_000, epochs=1)
        return build_method("pskd", config_class("pskd")(), network(), task, None).cuda()

    made, again = method(), method()
    made.history.values.fill_(0.5)
    held = snapshot(MethodState(made).state())
    made.history.values.fill_(0.7)
    assert {value.device.type for value in held["memories"].values()} == {"cpu"}
    checkpoint.save(held, tmp_path / "c.pt")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    MethodState(again).load(checkpoint.load(tmp_path / "c.pt"))
    assert torch.cuda.max_memory_allocated() < before + made.history.values.nbytes / 5
    assert (again.history.values == 0.5).all()
