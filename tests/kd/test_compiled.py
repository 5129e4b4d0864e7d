"""One compiled step serves a whole search: no break, and no other one for other numbers."""

import gc
import shutil
from dataclasses import replace

import pytest
import torch
from torch._dynamo.utils import counters

from kd.cases import Case
from kd.config import OptimizerConfig, SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.errors import UserError
from kd.methods import method_names
from kd.training import compiling
from kd.training.compiling import check_compiler, worth_compiling
from kd.training.trainer import Place, Trainer

CPU = Place(device=torch.device("cpu"))
needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++ here")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("name", method_names())
def test_a_step_is_one_graph_for_every_epoch_and_every_trial(name):
    case, batch = Case(name, "resnet8", 8), Case(name, "resnet8", 8).batch()
    usual = case.build()
    numbers = {n: v / 2 for n, v in vars(usual.config).items() if isinstance(v, float) and v}
    allowed = {n: v for n, v in numbers.items() if n not in ("beta_max", "label_smoothing")}
    other = case.build(seed=1, config=replace(usual.config, **allowed))

    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    @torch.compile(fullgraph=True, backend=keep)
    def loss(method, batch):
        return method(batch).total

    for method in (usual, other):
        plain = case.build(config=method.config)
        plain.load_state_dict(method.state_dict())
        for epoch in (0, 7):
            method.begin_epoch(epoch)
            plain.begin_epoch(epoch)
            torch.manual_seed(epoch)
            compiled = loss(method, batch)
            torch.manual_seed(epoch)
            torch.testing.assert_close(compiled, plain(batch).total)
    assert len(graphs) == 1


@pytest.fixture(scope="module")
def images():
    return train_val(open_dataset("digits").train, SplitConfig(val_fraction=0.6, train_size=90))


def config(method="pskd", **changes):
    # 90 images in batches of 25: three whole ones, and one of 15, which is not compiled.
    return TrainConfig.paper(method, "resnet8", "digits", epochs=3, batch_size=25, **changes)


def fitted(settings, images, *, place=CPU):
    made = Trainer(settings, *images, place=place)
    made.fit()
    return made


def losses(made):
    return [metrics["train_loss"] for metrics in made.history]


@needs_compiler
def test_a_training_is_the_same_compiled_and_the_next_one_compiles_nothing(images):
    """Losses agree to a thousandth; one graph serves what a reused process trains."""
    compiled = replace(CPU, compiled=True)
    other = config(seed=3, optimizer=OptimizerConfig(lr=0.01, momentum=0.5, weight_decay=0.0))
    other = replace(other, kd=replace(other.kd, alpha=0.4))
    counters.clear()
    for settings in (config(), other):
        made = fitted(settings, images, place=compiled)
        assert made.remarks == []
        assert losses(made) == pytest.approx(losses(fitted(settings, images)), rel=1e-3)
        del made
        gc.collect()
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("method", ["pskd", "lsskd"])
def test_steps_that_cannot_be_compiled_are_taken_as_they_are(method, images, monkeypatch):
    def fails(model, batch):
        model(batch)
        raise AssertionError("a fault of the compiler\nin many lines")

    monkeypatch.setattr(compiling, "_compiled", lambda: fails)
    plain = fitted(config(method), images)
    tried = fitted(config(method), images, place=replace(CPU, compiled=True))
    assert tried.remarks == ["Steps are not compiled, as that failed (a fault of the compiler)."]
    assert losses(tried) == losses(plain)
    for name, value in plain.method.state_dict().items():
        assert torch.equal(value, tried.method.state_dict()[name]), name


def test_trying_it_leaves_no_trace(images, monkeypatch):
    """Where it can be compiled, too: buffers, memories, gradients and chance are as they were."""
    monkeypatch.setattr(compiling, "_compiled", lambda: compiling._parts)
    made = Trainer(config("lsskd"), *images, place=replace(CPU, compiled=True))
    before = {name: value.clone() for name, value in made.method.state_dict().items()}
    chance = torch.get_rng_state()
    made.method.train()
    made._steps._begin(made.loader.order(0))
    assert made._step.compiled_size == 25
    assert torch.equal(torch.get_rng_state(), chance)
    for name, value in made.method.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in made.method.parameters())


@pytest.mark.parametrize(
    ("steps", "epochs", "slots", "step_seconds", "worth"),
    [
        # Of 352 steps an epoch: a long search on one GPU, and its share on eight slots.
        (352, 1560, 1, 0.0017, True),
        (352, 1560, 8, 0.0054, False),
        (352, 15_360, 8, 0.0054, True),
        # What nobody measured counts as a small network's.
        (704, 240, 1, None, False),
        (704, 300, 1, None, True),
        (15, 144, 2, None, False),
    ],
)
def test_it_is_worth_it_where_it_takes_under_a_tenth(steps, epochs, slots, step_seconds, worth):
    asked = {"steps": steps, "epochs": epochs, "slots": slots, "step_seconds": step_seconds}
    assert worth_compiling(**asked) is worth


@pytest.mark.parametrize(("gpu", "names"), [(False, "g++"), (True, "gcc or clang")])
def test_a_compiler_that_is_missing_is_one_sentence(gpu, names, tmp_path, monkeypatch):
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    check_compiler("auto", gpu=gpu)
    check_compiler("never", gpu=gpu)
    with pytest.raises(UserError, match="needs a compiler") as refusal:
        check_compiler("always", gpu=gpu)
    assert f"there is no {names} here" in str(refusal.value).replace("\\", "")
    mine = tmp_path / "cc"
    mine.write_text("")
    mine.chmod(0o755)
    monkeypatch.setenv("CC" if gpu else "CXX", str(mine))
    check_compiler("always", gpu=gpu)


@needs_gpu
@pytest.mark.parametrize("method", ["ce", "pskd", "lsskd"])
def test_a_compiled_step_is_captured(method, images):
    place = Place.local("cuda")
    counters.clear()
    plain = fitted(config(method), images, place=replace(place, captured=False))
    both = fitted(config(method), images, place=replace(place, compiled=True))
    assert both.remarks == []
    assert counters["stats"]["unique_graphs"] == 1
    assert losses(both)[0] == pytest.approx(losses(plain)[0], rel=0.05)
