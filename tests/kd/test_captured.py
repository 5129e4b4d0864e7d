"""Replayed steps are the steps one by one, to the last bit.

On a CPU the step is called where a GPU replays a graph of it: slots, positions, rates, sums and
the undone warm-up are the same.
"""

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from kd.config import AugmentConfig, OptimizerConfig, SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.methods import method_names
from kd.parts.history import Histories
from kd.parts.mapped import MappedRows
from kd.training import checkpoint
from kd.training.capture import WARM_UP
from kd.training.epoch import CapturedSteps, Steps
from kd.training.teacher import load_teachers, train_teacher
from kd.training.trainer import Place, Trainer
from kd.training.validation import BATCH, BestOf, CapturedValidation, Validation

CPU = Place(device=torch.device("cpu"))
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.fixture(scope="module")
def images():
    return train_val(open_dataset("digits").train, SplitConfig(val_fraction=0.6, train_size=90))


def called(body):
    """What stands for a graph on a CPU: warmed up by as many steps, which use up no chance."""
    with torch.random.fork_rng(devices=[]):
        for _ in range(WARM_UP):
            body()
    return body


def config(method, **changes):
    # 90 images in batches of 25: three whole ones, and one of 15. A gentle rate: from a steep one
    # what is learnt from a teacher of three epochs may diverge.
    made = TrainConfig.paper(method, "resnet8", "digits", epochs=3, batch_size=25)
    return replace(made, **({"optimizer": replace(made.optimizer, lr=0.01)} | changes))


def trainer(settings, images, *, place=CPU, captured=False, capture=called):
    made = Trainer(settings, *images, place=place, teachers=load_teachers(settings, images[0]))
    about = made.val_loader, made._step.autocast, [*made.method.teachers]
    networks = made.method.candidates().items()
    if captured and place is CPU:
        made._steps = CapturedSteps(made._step, made.loader, capture)
        looks = {n: CapturedValidation(network, *about, capture) for n, network in networks}
        made._validation = BestOf(looks)
    elif not captured:
        made._steps = Steps(made._step, made.loader)
        made._validation = BestOf({n: Validation(network, *about) for n, network in networks})
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
    """The same losses, scores and states; among val's images is a full batch and a short one."""
    assert BATCH < len(one.val_loader.labels) < 2 * BATCH
    for name in ("train_loss", "val_acc", "val_acc5", "val_nll", "val_ece"):
        assert [m[name] for m in one.history] == [m[name] for m in other.history], name
    assert [m["lr"] for m in one.history] == pytest.approx([m["lr"] for m in other.history])
    first, second = (dict(tensors(made.state())) for made in (one, other))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value.cpu(), second[name].cpu()), name


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


@pytest.mark.parametrize("method", ["ce", "sp"])
def test_of_images_that_are_changed_and_mixed_in_every_way(method, images, tmp_path):
    augment = AugmentConfig(
        crop_padding=0, crop_size=6, flip=0.5, cutout=2, rotation=15.0, brightness=0.3,
        contrast=0.3, mixup=0.2, cutmix=1.0,
    )  # fmt: skip
    settings = taught(config(method, augment=augment), images, tmp_path)
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
    assert made._steps._captured(called) is not None
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
    monkeypatch.setattr("kd.training.building.histories", lambda *_: histories)


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


def test_val_is_replayed_from_one_graph_whatever_became_of_the_weights(images):
    graphs, replays = [], []

    def counted(body):
        graphs.append(body)
        replay = called(body)
        return lambda: replays.append(body) or replay()

    plain, replayed = trainer(config("ce"), images), trainer(config("ce"), images)
    looks = replayed.student, replayed.val_loader, replayed._step.autocast
    replayed._validation = BestOf({"student": CapturedValidation(*looks, capture=counted)})
    plain.fit()
    replayed.fit()
    assert_same(plain, replayed)
    replayed.load_state(plain.state())
    assert replayed.validate() == plain.validate()
    assert (len(graphs), len(replays)) == (1, 4), "once for each full batch"
    assert replayed.student.training is False


# -- where it fails ------------------------------------------------------------------------------


def failing(error):
    """What stands for a graph that cannot be captured: the warm-up is done, and the rest not."""

    def capture(body):
        called(body)
        raise error

    return capture


@pytest.mark.parametrize("method", ["pskd", "dtskd", "lsskd"])
def test_steps_that_cannot_be_captured_are_taken_one_by_one(method, images):
    """No trace is left of the attempt, and it is said once for steps and once for val."""
    error = RuntimeError("operation not permitted when stream is capturing.\nCompile with …")
    plain = trainer(config(method), images)
    tried = trainer(config(method), images, captured=True, capture=failing(error))
    plain.fit()
    tried.fit()
    assert_same(plain, tried)
    why = "operation not permitted when stream is capturing"
    assert tried.remarks == [
        f"Steps are taken one by one, as capturing them failed ({why}).",
        f"Validation is not replayed, as capturing that failed ({why}).",
    ]
    assert plain.remarks == []


def test_a_lack_of_memory_is_no_fault_of_capturing(images):
    """A trial that shares a GPU goes on with a whole one then, and captured."""
    full = failing(torch.OutOfMemoryError("CUDA out of memory"))
    tried = trainer(config("ce"), images, captured=True, capture=full)
    with pytest.raises(torch.OutOfMemoryError):
        tried.run_epoch()
    with pytest.raises(torch.OutOfMemoryError):
        tried.validate()


@pytest.mark.parametrize("method", ["ce", "lsskd"])
def test_a_training_leaves_no_circle_behind(method, images):
    """A process that trains one trial after another gives its memory back at once."""
    made = Trainer(config(method), *images, place=CPU)
    made.run_epoch()
    kept = weakref.ref(made), weakref.ref(made.student)
    gc.disable()
    try:
        del made
        assert [one() for one in kept] == [None, None]
    finally:
        gc.enable()


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
