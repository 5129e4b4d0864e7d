"""What the training core offers to methods: pairs, peers, phases, what follows a step, teachers."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from small_methods import SMALL, Averaged, Hinted, registered

from kd.backbones import build_backbone
from kd.config import OptimizerConfig, SplitConfig, TeacherConfig, TrainConfig
from kd.data import DatasetInfo, open_dataset
from kd.data.split import train_val
from kd.errors import DivergedError, UserError
from kd.methods.base import MAIN, Phase
from kd.parts.teacher import Teacher
from kd.testing import check_method
from kd.train import _fit
from kd.training import checkpoint
from kd.training.epoch import WARM_UP, CapturedSteps
from kd.training.trainer import Place, Trainer

CPU = Place(device=torch.device("cpu"))


@pytest.fixture(autouse=True)
def small_methods():
    with registered():
        yield


@pytest.fixture(scope="module")
def images():
    return train_val(open_dataset("digits").train, SplitConfig(val_fraction=0.6, train_size=90))


def config(method, **changes):
    return TrainConfig.paper(method, "resnet8", "digits", epochs=3, batch_size=25, **changes)


def trainer(settings, images, seed=7):
    torch.manual_seed(seed)
    teachers = [Teacher(build_backbone("resnet8", 10, 1)) for _ in settings.teachers]
    return Trainer(settings, *images, place=CPU, teachers=teachers)


def assert_same(one, other):
    assert [m["train_loss"] for m in one.history] == [m["train_loss"] for m in other.history]
    first, second = one.state(), other.state()
    assert first["method"].keys() == second["method"].keys()
    for name, value in first["method"].items():
        assert torch.equal(value, second["method"][name]), name


@pytest.mark.parametrize("method", SMALL)
def test_a_small_method_keeps_the_contract(method):
    check_method(method, "resnet8")


@pytest.mark.parametrize("method", SMALL)
def test_a_run_continued_after_any_epoch_is_the_unbroken_one(method, images, tmp_path):
    unbroken = trainer(config(method), images)
    files = []

    def keep(metrics, state):
        files.append(tmp_path / f"{len(files)}.pt")
        checkpoint.save(state(), files[-1])

    unbroken.fit(keep)
    assert len(files) == (5 if method == "hinted" else 3)
    for file in files:
        resumed = trainer(config(method), images)
        resumed.load_state(checkpoint.load(file))
        resumed.fit()
        assert_same(unbroken, resumed)


@pytest.mark.parametrize("method", SMALL)
def test_replayed_steps_are_the_same_steps(method, images, monkeypatch):
    plain = trainer(config(method), images)
    plain.fit()

    def called(body):
        for _ in range(WARM_UP):
            body()
        return body

    enter = Trainer._enter

    def captured(self, part):
        enter(self, part)
        self._steps = CapturedSteps(self._step, self.loader, called, first=self._steps.first)

    monkeypatch.setattr(Trainer, "_enter", captured)
    replayed = trainer(config(method), images)
    replayed.fit()
    assert isinstance(replayed._steps, CapturedSteps)
    assert_same(plain, replayed)


def test_a_phase_trains_its_own_and_nothing_else(images):
    made = trainer(config("hinted"), images)
    assert isinstance(made.method, Hinted)
    assert made.phase.name == "hint"

    def kept():
        return {name: value.clone() for name, value in made.method.named_parameters()}

    begun = kept()
    told = [made.run_epoch() for _ in range(2)]
    assert [m["epoch"] for m in told] == [0, 0]
    assert [m["phase_epoch"] for m in told] == [1, 2]
    assert [m["lr"] for m in told] == pytest.approx([0.02, 0.002])
    assert not made.history
    hinted = kept()
    moved = {name for name in begun if not torch.equal(begun[name], hinted[name])}
    assert moved
    assert all(n.startswith(("student.stem", "student.stages.0", "regressor")) for n in moved)
    assert made.phase.name == MAIN
    made.run_epoch()
    moved = {name for name, value in kept().items() if not torch.equal(value, hinted[name])}
    assert not any(name.startswith(("regressor", "teachers")) for name in moved)
    assert any(name.startswith("student.classifier") for name in moved)
    rates = [group["lr"] for group in made.optimizer.param_groups]
    assert rates[1] == 2 * rates[0]
    assert [g["weight_decay"] for g in made.optimizer.param_groups] == [5e-4, 0.0]


def test_kd_train_shows_a_phase_and_goes_on_within_it(images, tmp_path, capsys, monkeypatch):
    made, latest = trainer(config("hinted"), images), tmp_path / "c.pt"

    def interrupted():
        if made.trained == 1:
            raise KeyboardInterrupt
        return Trainer.run_epoch(made)

    monkeypatch.setattr(made, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _fit(made, "hinted", latest)
    said = capsys.readouterr().out
    assert "hinted: epoch 1 of 2 before the first one, loss " in said
    assert "the same command goes on after epoch 1 of 2 before the first one." in said
    _fit(trainer(config("hinted"), images), "hinted", latest)
    said = capsys.readouterr().out
    assert "hinted: going on after epoch 1 of 2 before the first one" in said
    assert "hinted: epoch 2 of 2 before the first one" in said
    assert "hinted epoch 3/3" in said


def test_a_phase_of_no_epochs_is_left_out(images, monkeypatch):
    monkeypatch.setattr(
        Hinted, "phases", lambda self: (Phase(name="hint", epochs=0, optimizer=OptimizerConfig()),)
    )
    made = trainer(config("hinted"), images)
    assert made.phase.name == MAIN
    assert made.run_epoch()["epoch"] == 1


def test_a_phase_ends_with_its_optimizer_and_says_where_it_diverged(images, monkeypatch):
    made = trainer(config("hinted"), images)
    first = weakref.ref(made.optimizer)
    made.run_epoch()
    made.run_epoch()
    gc.collect()
    assert first() is None
    wild = Phase(name="hint", epochs=2, optimizer=OptimizerConfig(lr=1e30))
    monkeypatch.setattr(Hinted, "phases", lambda self: (wild,))
    made = trainer(config("hinted"), images)
    with pytest.raises(DivergedError, match=r"not finite in epoch \d of phase hint"):
        made.fit()


def test_each_phase_draws_by_chance_of_its_own(images):
    made = trainer(config("hinted"), images)
    hint = made.loader.order(made._steps.first).indices
    made.run_epoch()
    made.run_epoch()
    assert not torch.equal(hint, made.loader.order(made._steps.first).indices)


def test_what_follows_a_step_follows_each(images):
    made = trainer(config("averaged"), images)
    assert isinstance(made.method, Averaged)
    made.run_epoch()
    assert made.method.memory.long().tolist() == list(images[0].counts.values())


def test_too_many_teachers_are_refused():
    further = (TeacherConfig(backbone="resnet20"),)
    assert len(config("ensemble", further_teachers=further).teachers) == 2
    with pytest.raises(UserError, match=r"at learns from at most 1 network\(s\), not from 2"):
        config("at", further_teachers=further)
    with pytest.raises(UserError, match=r"kd learns from at most 8 network\(s\), not from 9"):
        config("kd", further_teachers=further * 8)


def test_several_teachers_are_written_and_read():
    further = (TeacherConfig(backbone="resnet20", seed=5), TeacherConfig(weights="a.safetensors"))
    settings = config("ensemble", further_teachers=further)
    assert TrainConfig.from_dict(settings.to_dict()) == settings
    assert settings.flat()["further_teachers.0.backbone"] == "resnet20"
    assert settings.teacher_recipe(1).seed == 5
    assert settings.teacher_recipe(0).seed != settings.seed
    wrong = settings.to_dict()
    wrong["further_teachers"][0]["bakbone"] = "resnet8"
    with pytest.raises(UserError, match="did you mean 'backbone'"):
        TrainConfig.from_dict(wrong)
    for few in ([0.9], [0.9, 0.99, 0.999]):
        wrong = settings.to_dict()
        wrong["optimizer"]["betas"] = few
        with pytest.raises(UserError, match=r"optimizer\.betas needs .* values; give as many as"):
            TrainConfig.from_dict(wrong)
    wrong = settings.to_dict() | {"further_teachers": ["resnet8"]}
    with pytest.raises(UserError, match="names and values"):
        TrainConfig.from_dict(wrong)


def test_what_is_allowed_of_a_teacher_is_no_other_training():
    settings = config("kd", teacher=TeacherConfig(weights="t.safetensors"))
    allowed = replace(settings, teacher=replace(settings.teacher, saw_val=True))
    assert settings.trains_as(allowed)
    assert not settings.trains_as(replace(settings, seed=1))


def test_what_a_teachers_method_needs_is_checked_before():
    info = DatasetInfo(size=(8, 6), channels=1, counts=dict.fromkeys("ab", 50))
    settings = config("kd", teacher=TeacherConfig(method="lsskd"))
    with pytest.raises(UserError, match="lsskd turns images by quarters"):
        settings.check_images(info)


def test_a_teacher_sees_images_as_in_its_own_training():
    network = build_backbone("resnet8", 10, 3).eval()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(4, 3, 8, 8, generator=generator)
    ours, its = ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)), ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))

    def normalised(statistics):
        mean, std = torch.tensor(statistics).view(2, 1, 3, 1, 1)
        return (pixels - mean) / std

    teacher = Teacher(network, ours, its).eval()
    torch.testing.assert_close(
        teacher(normalised(ours)), network(normalised(its)), rtol=1e-4, atol=1e-5
    )
    assert torch.equal(Teacher(network, ours, ours)(normalised(ours)), network(normalised(ours)))
    assert not teacher(normalised(ours)).requires_grad


def test_adamw_trains_and_goes_on_like_sgd(images, tmp_path):
    settings = config("pskd")
    adamw = replace(settings.optimizer, name="adamw", lr=1e-3, nesterov=False, decay_norms=False)
    settings = replace(settings, optimizer=adamw)
    unbroken = trainer(settings, images)
    unbroken.run_epoch()
    checkpoint.save(unbroken.state(), tmp_path / "c.pt")
    unbroken.fit()
    resumed = trainer(settings, images, seed=9)
    resumed.load_state(checkpoint.load(tmp_path / "c.pt"))
    resumed.fit()
    assert_same(unbroken, resumed)
    weights, norms = unbroken.optimizer.param_groups
    assert (weights["weight_decay"], norms["weight_decay"]) == (5e-4, 0.0)
    assert all(p.ndim > 1 for p in weights["params"])
    assert all(p.ndim == 1 for p in norms["params"])
