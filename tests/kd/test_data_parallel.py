"""Several workers train as one worker does on the same batches, histories and all."""

import multiprocessing
import socket
import sys
import warnings
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from small_methods import registered
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from kd import memories
from kd.config import OptimizerConfig, SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.methods.crd.loss import OtherClasses
from kd.parts.gather import gathered
from kd.training import checkpoint
from kd.training.teacher import load_teachers, train_teacher
from kd.training.trainer import DivergedError, Place, Trainer

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.golden.build import method as golden_method

CPU = torch.device("cpu")
LOSSES = ("train_loss", "loss_cls", "loss_hier", "loss_kl", "loss_feat", "loss_his", "loss_stru")


@pytest.fixture(scope="module")
def images():
    """103 images: of batches of 24, the last holds 7, and 2 or 3 workers cannot share it."""
    return train_val(open_dataset("digits").train, SplitConfig(val_fraction=0.6, train_size=103))


def config(method, **changes):
    # A gentle rate: from a steep one, rounding alone leads two runs apart.
    changes = {"optimizer": OptimizerConfig(lr=0.01)} | changes
    return TrainConfig.paper(method, "resnet8", "digits", epochs=3, batch_size=24, **changes)


def without_batch_statistics():
    """Let BatchNorm use its running statistics, which no worker's own images change."""
    _BatchNorm.forward = lambda self, x: F.batch_norm(
        x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
    )


def work(rank, world, port, task, *arguments):
    warnings.simplefilter("error", FutureWarning)
    warnings.simplefilter("error", DeprecationWarning)
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=60),
    )
    task(*arguments)
    dist.destroy_process_group()


def spawn(world, task, *arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The server imports torch once for all tests.
    multiprocessing.set_forkserver_preload(["kd.training.trainer", "kd.data.sources.digits"])
    mp.start_processes(
        work, (world, port, task, *arguments), nprocs=world, start_method="forkserver"
    )


def train(settings, images, folder):
    place = Place.local("cpu")
    trainer = Trainer(settings, *images, place=place, teachers=load_teachers(settings, images[0]))

    def keep_the_first(metrics, state):
        if trainer.epoch == 1 and place.rank == 0:
            checkpoint.save(state(), folder / "first.pt")

    trainer.fit(keep_the_first)
    torch.save(trainer.state(), folder / f"{place.rank}.pt")


def train_all(runs, images, folder):
    without_batch_statistics()
    for settings in runs:
        (folder / settings.method).mkdir(exist_ok=True)
        train(settings, images, folder / settings.method)


def alone(runs, images, folder):
    """The same runs in this process, which keeps its BatchNorm."""
    forward = _BatchNorm.forward
    try:
        train_all(runs, images, folder)
    finally:
        _BatchNorm.forward = forward


def states(folder, world):
    return [torch.load(folder / f"{rank}.pt") for rank in range(world)]


def assert_close(ours, expected, tolerance, name):
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance, msg=lambda m: f"{name}: {m}")


@pytest.mark.parametrize("world", [2, 3])
def test_workers_train_as_one_worker_does(world, images, tmp_path):
    """To 1e-4 in every weight, probability and loss, after 15 steps in float32."""
    place, teacher = Place(device=CPU), tmp_path / "teacher.safetensors"
    runs = [config(method) for method in ("lsskd", "dtskd", "pskd")]
    train_teacher(config("kd").teacher_recipe(), *images, teacher, place=place)
    runs.append(config("kd").with_teachers([str(teacher)]))
    together = tmp_path / "together"
    together.mkdir()
    alone(runs, images, tmp_path)
    spawn(world, train_all, runs, images, together)

    for method in [settings.method for settings in runs]:
        (expected,) = states(tmp_path / method, 1)
        for state in states(together / method, world):
            for part in ("method", "memories"):
                for name, tensor in expected[part].items():
                    assert_close(state[part][name], tensor, 1e-4, f"{method} {name}")
            for ours, metrics in zip(state["history"], expected["history"], strict=True):
                for name in set(LOSSES) & set(metrics):
                    assert_close(ours[name], metrics[name], 1e-4, f"{method} {name}")
                assert ours["val_acc"] == pytest.approx(metrics["val_acc"], abs=0.2)


def train_small(runs, images, folder):
    with registered():
        train_all([TrainConfig.from_dict(run) for run in runs], images, folder)


def test_losses_that_relate_a_batch_and_phases_are_shared_too(images, tmp_path):
    """A Gram matrix over all workers' samples (15 steps, to 1e-4), and a hint stage before."""
    teacher, together = tmp_path / "teacher.safetensors", tmp_path / "together"
    together.mkdir()
    train_teacher(config("ce"), *images, teacher, place=Place(device=CPU))
    with registered():
        runs = [
            config(name).with_teachers([str(teacher)]).to_dict() for name in ("related", "hinted")
        ]
        alone([TrainConfig.from_dict(run) for run in runs], images, tmp_path)
    spawn(2, train_small, runs, images, together)
    for method in ("related", "hinted"):
        (expected,) = states(tmp_path / method, 1)
        assert [m["epoch"] for m in expected["history"]] == [1, 2, 3]
        for state in states(together / method, 2):
            for name, tensor in expected["method"].items():
                assert_close(state["method"][name], tensor, 1e-4, f"{method} {name}")
            for ours, metrics in zip(state["history"], expected["history"], strict=True):
                assert_close(ours["train_loss"], metrics["train_loss"], 1e-4, method)


def test_workers_see_the_same_distances_of_classes(images, tmp_path):
    """WKD-L looks at the teacher's features of all workers' images."""
    teacher, together = tmp_path / "teacher.safetensors", tmp_path / "together"
    together.mkdir()
    train_teacher(config("ce"), *images, teacher, place=Place(device=CPU))
    runs = [replace(config("wkd_l"), epochs=1).with_teachers([str(teacher)])]
    alone(runs, images, tmp_path)
    spawn(2, train_all, runs, images, together)
    (expected,) = states(tmp_path / "wkd_l", 1)
    for state in states(together / "wkd_l", 2):
        for name, tensor in expected["method"].items():
            assert_close(state["method"][name], tensor, 1e-4, name)


def by_turns(self, labels, count):
    """Samples of other classes, the same for all of a class: what draws of chance stand for."""
    rest = (torch.arange(len(self.order)) >= self.counts[labels].unsqueeze(1)).long()
    places = rest.cumsum(1) + self.starts[labels].unsqueeze(1) + self.counts[labels].unsqueeze(1)
    return self.order[(places - 1) % len(self.order)][:, -count:]


def train_without_chance(runs, images, folder):
    OtherClasses.forward = by_turns
    train_all(runs, images, folder)


@pytest.mark.parametrize("world", [2, 3])
def test_methods_that_learn_from_features_of_a_batch_and_of_before(world, images, tmp_path):
    """SemCKD's similarities and CRD's memories, of all workers; the last batch is a short one."""
    teacher, together = tmp_path / "teacher.safetensors", tmp_path / "together"
    together.mkdir()
    train_teacher(config("ce"), *images, teacher, place=Place(device=CPU))
    # A gentler rate and β still: what both learn is steep where BatchNorm does not normalise.
    values = {"crd": {"negatives": 60}, "semckd": {"beta": 20.0}}
    gentle = [config(name, optimizer=OptimizerConfig(lr=0.001)) for name in values]
    runs = [
        replace(run, epochs=2, kd=replace(run.kd, **values[run.method])).with_teachers(
            [str(teacher)]
        )
        for run in gentle
    ]
    forward = OtherClasses.forward
    try:
        OtherClasses.forward = by_turns
        alone(runs, images, tmp_path)
    finally:
        OtherClasses.forward = forward
    spawn(world, train_without_chance, runs, images, together)
    for method in ("crd", "semckd"):
        (expected,) = states(tmp_path / method, 1)
        for state in states(together / method, world):
            for name, tensor in expected["method"].items():
                assert_close(state["method"][name], tensor, 1e-6, f"{method} {name}")
            for ours, metrics in zip(state["history"], expected["history"], strict=True):
                assert ours["train_loss"] == pytest.approx(metrics["train_loss"], rel=1e-5)


def test_workers_remember_the_same_embeddings_whatever_each_of_them_draws(images, tmp_path):
    teacher = tmp_path / "teacher.safetensors"
    train_teacher(config("ce"), *images, teacher, place=Place(device=CPU))
    spawn(2, train_all, [config("crd").with_teachers([str(teacher)])], images, tmp_path)
    one, other = (state["method"] for state in states(tmp_path / "crd", 2))
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
    lengths = one["memory.rows"].norm(dim=-1)
    assert_close(lengths, torch.ones_like(lengths), 1e-5, "every sample was seen")


def of_pairs(made, own, other, labels):
    """Two classifiers, or two views, of which the logits are the features too."""
    both = torch.stack([own, other])
    return made.loss(both, both, labels)


def of_logits(made, own, other, labels):
    return made.loss(own, other, labels)


RELATING = {
    "dist": (of_logits, {}),
    "mlkd": (of_logits, {}),
    "uskd": (of_logits, {}),
    "byot": (of_pairs, {"beta": 0.1}),
    "ban": (of_logits, {"form": "weighted", "label_weight": 0.5}),
    "ddgsd": (of_pairs, {"mu": 1.0}),
}


def relate(folder):
    """The gradient by this worker's logits, in float64, as averaging would leave it."""
    generator = torch.Generator().manual_seed(0)
    rank = dist.get_rank() if dist.is_initialized() else None
    mine = {None: slice(0, 6), 0: slice(0, 4), 1: slice(4, 6)}[rank]
    world = 1 if rank is None else 2
    student, other = 3 * torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    for name, (loss, values) in RELATING.items():
        own = student[mine].clone().requires_grad_()
        total = loss(golden_method(name, 5, **values), own, other[mine], labels[mine]).total
        # As the loader weights a worker's share of a batch.
        (world * len(own) / 6 * total).backward()
        torch.save((own.grad / world, total.detach()), folder / f"{name}-{rank}.pt")


def test_what_methods_relate_in_a_batch_is_of_all_workers(tmp_path):
    """Correlations of columns, relations of a batch, its mean and its sum: gradients to 1e-12."""
    relate(tmp_path)
    spawn(2, relate, tmp_path)
    for name in RELATING:
        gradient, total = torch.load(tmp_path / f"{name}-None.pt")
        parts = [torch.load(tmp_path / f"{name}-{rank}.pt") for rank in (0, 1)]
        together = torch.cat([part[0] for part in parts])
        torch.testing.assert_close(together, gradient, rtol=1e-12, atol=1e-14)
        mean = (4 * parts[0][1] + 2 * parts[1][1]) / 6
        torch.testing.assert_close(mean, total, rtol=1e-12, atol=0)


def add_gathered(folder):
    generator = torch.Generator().manual_seed(0)
    whole = [torch.randn(6, 3, generator=generator) for _ in range(2)]
    rank = dist.get_rank() if dist.is_initialized() else None
    mine = {None: slice(0, 6), 0: slice(0, 4), 1: slice(4, 6)}[rank]
    x, y = (rows[mine].clone().requires_grad_() for rows in whole)
    (gathered(x) + gathered(y)).square().sum().backward()
    torch.save((x.grad, y.grad), folder / f"{rank}.pt")


def test_gathered_rows_may_be_added(tmp_path):
    """Each worker's gradients are summed, so two workers of one loss have twice that of one."""
    add_gathered(tmp_path)
    spawn(2, add_gathered, tmp_path)
    expected = torch.load(tmp_path / "None.pt")
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for n in (0, 1):
        torch.testing.assert_close(torch.cat([part[n] for part in parts]), 2 * expected[n])


def go_on(settings, images, folder):
    trainer = Trainer(settings, *images, place=Place.local("cpu"))
    trainer.load_state(checkpoint.load(folder / "first.pt"))
    trainer.fit()
    torch.save(trainer.state(), folder / f"again-{trainer.place.rank}.pt")


def break_and_go_on(runs, images, folder):
    for settings in runs:
        own = folder / settings.method
        own.mkdir(exist_ok=True)
        train(settings, images, own)
        dist.barrier()
        go_on(settings, images, own)


def with_few_kept(task, *arguments):
    """The same where `compressed` keeps three probabilities of a row."""
    memories.KEPT = 3
    task(*arguments)


@pytest.mark.parametrize("history", ["auto", "compressed"])
def test_workers_agree_and_go_on_from_the_file_of_the_first_bit_for_bit(history, images, tmp_path):
    """A method with memories, and one with a copy of the network and its averaged statistics."""
    runs = [config(method, history=history) for method in ("lsskd", "sd")]
    spawn(2, with_few_kept, break_and_go_on, runs, images, tmp_path)
    names = ("1.pt", "again-0.pt", "again-1.pt")
    for folder, again in [(tmp_path / run.method, name) for run in runs for name in names]:
        first, other = torch.load(folder / "0.pt"), torch.load(folder / again)
        for part in ("method", "memories"):
            for name, tensor in first[part].items():
                assert torch.equal(other[part][name], tensor), name
        for ours, theirs in zip(other["history"], first["history"], strict=True):
            scores = {name for name in ours if "seconds" not in name}
            assert {k: ours[k] for k in scores} == {k: theirs[k] for k in scores}


def test_workers_with_compressed_memories_train_as_one_worker_does(images, tmp_path, monkeypatch):
    """As closely as rounding to float16 lets them: 1e-4 in the weights, 1e-3 in the losses."""
    monkeypatch.setattr("kd.memories.KEPT", 3)
    runs, together = [config("lsskd", history="compressed")], tmp_path / "together"
    together.mkdir()
    alone(runs, images, tmp_path)
    spawn(2, with_few_kept, train_all, runs, images, together)
    (expected,) = states(tmp_path / "lsskd", 1)
    assert expected["memories"]["joint_history.classes"].dtype is torch.uint8
    for state in states(together / "lsskd", 2):
        for name, tensor in expected["method"].items():
            if "history" not in name:
                assert_close(state["method"][name], tensor, 1e-4, name)
        for ours, metrics in zip(state["history"], expected["history"], strict=True):
            for name in set(LOSSES) & set(metrics):
                assert_close(ours[name], metrics[name], 1e-3, name)


def diverge(settings, images, folder):
    try:
        Trainer(settings, *images, place=Place.local("cpu")).fit()
    except DivergedError as error:
        (folder / f"{dist.get_rank()}").write_text(str(error.epoch))


def test_a_loss_that_is_no_number_ends_the_run_of_all_workers(images, tmp_path):
    wild = replace(config("ce"), optimizer=OptimizerConfig(lr=1e12))
    spawn(2, diverge, wild, images, tmp_path)
    assert (tmp_path / "0").read_text() == (tmp_path / "1").read_text()
