"""Replayed steps are the steps one by one, to the last bit.

On a CPU the step is called where a GPU replays a graph of it: slots, positions, rates, sums and
the undone warm-up are the same.
"""

from dataclasses import replace

import pytest
import torch

from kd.config import OptimizerConfig, SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.methods import method_names
from kd.parts.history import Histories
from kd.parts.mapped import MappedRows
from kd.training import checkpoint
from kd.training.epoch import WARM_UP, CapturedSteps, Steps
from kd.training.teacher import load_teachers, train_teacher
from kd.training.trainer import Place, Trainer

CPU = Place(device=torch.device("cpu"))
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.fixture(scope="module")
def images():
    torch.set_num_threads(1)
    return train_val(open_dataset("digits").train, SplitConfig(val_fraction=0.6, train_size=90))


def called(body):
    """What stands for a graph on a CPU: warmed up by as many steps."""
    for _ in range(WARM_UP):
        body()
    return body


def config(method, **changes):
    # 90 images in batches of 25: three whole ones, and one of 15.
    return TrainConfig.paper(method, "resnet8", "digits", epochs=3, batch_size=25, **changes)


def trainer(settings, images, *, place=CPU, captured=False):
    made = Trainer(settings, *images, place=place, teachers=load_teachers(settings, images[0]))
    if captured and place is CPU:
        made._steps = CapturedSteps(made._step, made.loader, called)
    elif not captured:
        made._steps = Steps(made._step, made.loader)
    return made


def taught(settings, images, folder):
    if not settings.needs_teacher:
        return settings
    path = folder / "teacher.safetensors"
    train_teacher(settings.teacher_recipe(), *images, path, place=CPU)
    return settings.with_teachers([str(path)])


def tensors(value, name=""):
    """Every tensor of a state, by its place."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from tensors(inner, f"{name}.{key}")


def assert_same(one, other):
    assert [m["train_loss"] for m in one.history] == [m["train_loss"] for m in other.history]
    assert [m["lr"] for m in one.history] == pytest.approx([m["lr"] for m in other.history])
    first, second = (dict(tensors(made.state())) for made in (one, other))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("method", method_names())
def test_replayed_steps_are_the_same_steps(method, images, tmp_path):
    settings = taught(config(method), images, tmp_path)
    plain, replayed = (trainer(settings, images, captured=c) for c in (False, True))
    plain.fit()
    replayed.fit()
    assert_same(plain, replayed)


@pytest.mark.parametrize(
    "optimizer",
    [OptimizerConfig(momentum=0.0), OptimizerConfig(nesterov=True), OptimizerConfig(lr=0.003),
     OptimizerConfig(schedule="cosine", warmup=0.4)],
)  # fmt: skip
def test_of_any_optimizer(optimizer, images):
    settings = config("ce", optimizer=optimizer)
    plain, replayed = (trainer(settings, images, captured=c) for c in (False, True))
    plain.fit()
    replayed.fit()
    assert_same(plain, replayed)


@pytest.mark.parametrize("method", ["dtskd", "lsskd"])
def test_a_run_goes_on_in_what_the_graph_points_at(method, images):
    unbroken, first, second = (trainer(config(method), images, captured=True) for _ in range(3))
    unbroken.fit()
    first.run_epoch()
    second.run_epoch()
    second.run_epoch()
    second.load_state(first.state())
    second.fit()
    assert_same(unbroken, second)


def test_a_training_set_of_one_batch_and_of_whole_ones(images):
    for size in (90, 45, 44):
        settings = TrainConfig.paper("pskd", "resnet8", "digits", epochs=2, batch_size=size)
        plain, replayed = (trainer(settings, images, captured=c) for c in (False, True))
        plain.fit()
        replayed.fit()
        assert_same(plain, replayed)


def test_capturing_leaves_no_trace(images):
    made = trainer(config("lsskd"), images, captured=True)
    before = {name: value.clone() for name, value in tensors(made.state())}
    made.method.begin_epoch(0)
    made._steps._captured()
    after = dict(tensors(made.state()))
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    momenta = [value for name, value in after.items() if name not in before]
    assert momenta
    assert not any(momentum.any() for momentum in momenta)


# -- memories of every form, and on the host -----------------------------------------------------

FORMS = {
    "dense": Histories(),
    "bfloat16": Histories(form="bfloat16"),
    "compressed": Histories(form="compressed", kept=3),
}


def kept_in(histories, monkeypatch):
    """Let every run that begins now keep its memories so."""
    monkeypatch.setattr("kd.training.trainer.histories", lambda *_: histories)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", ["dtskd", "lsskd", "pskd"])
def test_steps_are_the_same_wherever_memories_lie(method, form, images, tmp_path, monkeypatch):
    usual, made = FORMS[form], []
    for histories in (usual, replace(usual, host=True, folder=tmp_path)):
        kept_in(histories, monkeypatch)
        made += [trainer(config(method), images, captured=captured) for captured in (False, True)]
    for one in made:
        one.fit()
    for other in made[1:]:
        assert_same(made[0], other)


def test_replayed_steps_read_a_memory_on_the_host_by_slots_alone(images, tmp_path, monkeypatch):
    kept_in(Histories(host=True, folder=tmp_path), monkeypatch)
    made = trainer(config("pskd"), images, captured=True)
    sizes = []
    keep = MappedRows._keep

    def watched(self, indices, rows):
        sizes.append((len(indices), made._steps._replay is not None))
        keep(self, indices, rows)

    monkeypatch.setattr(MappedRows, "_keep", watched)
    made.run_epoch()
    # Nothing of the warm-up; three full batches out of slots; the short one at once.
    assert sizes == [(25, True), (25, True), (25, True), (15, True)]


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_a_run_goes_on_with_memories_on_the_host(form, captured, images, tmp_path, monkeypatch):
    kept_in(FORMS[form], monkeypatch)
    unbroken = trainer(config("lsskd"), images, captured=captured)
    unbroken.fit()
    kept_in(replace(FORMS[form], host=True, folder=tmp_path), monkeypatch)
    first, second = (trainer(config("lsskd"), images, captured=captured) for _ in range(2))
    first.run_epoch()
    second.run_epoch()
    second.run_epoch()
    checkpoint.save(first.state(), tmp_path / "checkpoint.pt")
    second.load_state(checkpoint.load(tmp_path / "checkpoint.pt"))
    second.fit()
    assert_same(unbroken, second)


# -- on a GPU ------------------------------------------------------------------------------------


@needs_gpu
@pytest.mark.parametrize("method", method_names())
def test_a_graph_takes_the_same_steps(method, images, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    settings, place = taught(config(method), images, tmp_path), Place.local("cuda")
    plain, replayed = (trainer(settings, images, place=place, captured=c) for c in (False, True))
    plain.fit()
    replayed.fit()
    assert_same(plain, replayed)


@needs_gpu
@pytest.mark.parametrize("form", FORMS)
def test_a_graph_takes_the_same_steps_wherever_memories_lie(form, images, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    place, usual, made = Place.local("cuda"), FORMS[form], []
    usual = replace(usual, device=place.device)
    for histories in (usual, replace(usual, host=True, folder=tmp_path)):
        kept_in(histories, monkeypatch)
        made += [trainer(config("lsskd"), images, place=place, captured=c) for c in (False, True)]
    for one in made:
        one.fit()
    for other in made[1:]:
        assert_same(made[0], other)


@needs_gpu
def test_a_graph_goes_on_from_a_state_and_gives_its_memory_back(images, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    place = Place.local("cuda")
    unbroken = trainer(config("lsskd"), images, place=place, captured=True)
    first = trainer(config("lsskd"), images, place=place, captured=True)
    unbroken.fit()
    first.run_epoch()
    held = torch.cuda.memory_allocated()
    second = trainer(config("lsskd"), images, place=place, captured=True)
    second.load_state(first.state())
    second.fit()
    assert_same(unbroken, second)
    del second
    assert torch.cuda.memory_allocated() <= held
