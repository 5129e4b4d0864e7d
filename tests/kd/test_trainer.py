"""The training loop on real images: it learns, it is deterministic, and it can be continued."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kd.config import OptimizerConfig, SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.errors import UserError
from kd.methods import config_class, method_names
from kd.training import checkpoint
from kd.training.teacher import load_teachers, train_teacher
from kd.training.trainer import DivergedError, Place, Trainer

CPU = Place(device=torch.device("cpu"))


@pytest.fixture(scope="module")
def images():
    return train_val(open_dataset("digits").train, SplitConfig(val_fraction=0.6, train_size=100))


def config(method, **changes):
    return TrainConfig.paper(method, "resnet8", "digits", epochs=3, batch_size=25, **changes)


def with_teacher(settings, images, folder):
    if not settings.needs_teacher:
        return settings
    path = folder / "teacher.safetensors"
    train_teacher(settings.teacher_recipe(), *images, path, place=CPU)
    return settings.with_teachers([str(path)])


def trainer(settings, images):
    return Trainer(settings, *images, place=CPU, teachers=load_teachers(settings, images[0]))


@pytest.mark.parametrize("method", method_names())
def test_a_run_continued_from_a_file_ends_bit_for_bit_like_the_unbroken_one(
    method, images, tmp_path
):
    # A gentle rate: from a steep one what is learnt from a teacher of three epochs may diverge.
    gentle = replace(config(method), optimizer=OptimizerConfig(lr=0.01))
    settings = with_teacher(gentle, images, tmp_path)
    unbroken = trainer(settings, images)
    unbroken.fit()

    first = trainer(settings, images)
    first.run_epoch()
    checkpoint.save(first.state(), tmp_path / "checkpoint.pt")
    second = trainer(settings, images)
    second.load_state(checkpoint.load(tmp_path / "checkpoint.pt"))
    second.fit()

    expected, got = unbroken.state(), second.state()
    for part in ("method", "memories"):
        assert expected[part].keys() == got[part].keys()
        for name, tensor in expected[part].items():
            assert torch.equal(tensor, got[part][name]), name
    scores = ("epoch", "train_loss", "val_acc", "val_acc5", "val_ece", "val_nll", "lr")
    for a, b in zip(unbroken.history, second.history, strict=True):
        assert {k: a[k] for k in scores} == {k: b[k] for k in scores}


def test_training_learns_real_digits(images):
    metrics = trainer(replace(config("ce"), epochs=15), images).fit()
    assert metrics["val_acc"] > 60
    assert metrics["epoch"] == 15


def test_reports_come_after_every_epoch_with_a_state_that_can_be_saved(images, tmp_path):
    told = []

    def report(metrics, state):
        checkpoint.save(state(), tmp_path / "c.pt")
        told.append((metrics["epoch"], checkpoint.load(tmp_path / "c.pt")["epoch"]))

    trainer(config("ce"), images).fit(report)
    assert told == [(1, 1), (2, 2), (3, 3)]


def test_a_loss_that_is_no_number_ends_the_run_with_its_epoch(images):
    wild = config("ce", optimizer=OptimizerConfig(lr=1e12))
    with pytest.raises(DivergedError, match=r"epoch [12]"):
        trainer(wild, images).fit()


def test_a_checkpoint_of_another_configuration_is_refused(images):
    state = trainer(config("ce"), images).state()
    with pytest.raises(UserError, match="another configuration"):
        trainer(config("ce", seed=1), images).load_state(state)


def test_a_checkpoint_from_before_memories_had_a_form_is_read(images):
    state = trainer(config("pskd"), images).state()
    del state["config"]["history"]
    trainer(config("pskd"), images).load_state(state)
    with pytest.raises(UserError, match="another configuration"):
        trainer(config("pskd", history="compressed"), images).load_state(state)


def test_a_run_keeps_its_memories_in_the_form_that_is_asked_for(images):
    forms = {"auto": "float32", "dense": "float32", "bfloat16": "bfloat16", "compressed": "float16"}
    for history, dtype in forms.items():
        made = trainer(config("pskd", history=history), images)
        assert made.method.history.values.dtype is getattr(torch, dtype)
        made.run_epoch()
    losses = {h: trainer(config("pskd", history=h), images).fit()["train_loss"] for h in forms}
    assert losses["auto"] == losses["dense"]
    assert losses["dense"] != losses["bfloat16"] == pytest.approx(losses["dense"], rel=0.02)
    assert losses["dense"] != losses["compressed"] == pytest.approx(losses["dense"], rel=0.02)


def test_a_checkpoint_goes_on_where_the_teachers_file_has_been_moved(images, tmp_path):
    settings = with_teacher(config("kd"), images, tmp_path)
    state = trainer(settings, images).state()
    (tmp_path / "teacher.safetensors").rename(tmp_path / "moved.safetensors")
    weights = str(tmp_path / "moved.safetensors")
    moved = replace(settings, teacher=replace(settings.teacher, weights=weights))
    trainer(moved, images).load_state(state)
    with pytest.raises(UserError, match="another configuration"):
        trainer(replace(moved, epochs=2), images).load_state(state)


def test_bfloat16_is_half_precision_on_the_cpu_too(images):
    full, half = (
        trainer(config("ce", precision=precision), images).run_epoch()
        for precision in ("float32", "bfloat16")
    )
    assert full["train_loss"] != half["train_loss"]
    assert full["train_loss"] == pytest.approx(half["train_loss"], rel=0.05)
    assert trainer(config("ce"), images).run_epoch()["train_loss"] == full["train_loss"]


def test_a_single_class_has_no_others_to_smooth_over(images):
    alone = [replace(part, labels=0 * part.labels, class_names=("a",)) for part in images]
    spread = config_class("ce")(label_smoothing=0.1, smoothing_spread="others")
    assert trainer(config("ce", kd=spread), alone).run_epoch()["train_loss"] == 0


def test_too_few_images_are_refused_before_the_training(images):
    train, val = images
    with pytest.raises(UserError, match="too few, 1"):
        trainer(config("ce"), (train.subset(np.arange(1)), val))
    trainer(config("ce"), (train, val.subset(np.arange(1)))).run_epoch()


@pytest.mark.parametrize("name", ["meta", "hpu", "gpu", "cuda:99"])
def test_a_device_that_cannot_train_is_refused(name):
    with pytest.raises(UserError, match=f"no device '{name}' here; use --device cpu"):
        Place.local(name)


def test_a_teacher_that_does_not_fit_the_data_is_refused(images, tmp_path):
    settings = with_teacher(config("kd"), images, tmp_path)
    colour = replace(images[0], images=images[0].images.repeat(3, axis=1))
    with pytest.raises(UserError, match="image channels"):
        load_teachers(settings, colour)
    (tmp_path / "damaged.safetensors").write_bytes(b"no weights")
    damaged = replace(
        settings, teacher=replace(settings.teacher, weights=str(tmp_path / "damaged.safetensors"))
    )
    with pytest.raises(UserError, match="no whole network"):
        load_teachers(damaged, images[0])


CHANGES = {
    "num_classes": (None, "no whole network"),
    "in_channels": ("one", "no whole network"),
    "backbone": ("resnet8", "no whole network"),  # its weights are a resnet20's
    "class_names": (
        list("zyxwvutsrq"),
        "images of other classes; give a teacher trained on digits",
    ),
    "mean": ([0.9], "images of another mean of pixels"),
    "std": ([0.1], "images of another std of pixels"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_teacher_of_another_description_is_refused(name, images, tmp_path):
    settings = with_teacher(config("kd"), images, tmp_path)
    path = Path(settings.teacher.weights)
    teacher, description = checkpoint.load_weights(path)
    value, sentence = CHANGES[name]
    changed = {**description, name: value}
    checkpoint.save_weights(teacher, path, {k: v for k, v in changed.items() if v is not None})
    with pytest.raises(UserError, match=sentence):
        load_teachers(settings, images[0])


def test_a_description_that_is_no_mapping_is_refused(images, tmp_path):
    settings = with_teacher(config("kd"), images, tmp_path)
    path = Path(settings.teacher.weights)
    checkpoint.save_weights(checkpoint.load_weights(path)[0], path, ["resnet8"])
    with pytest.raises(UserError, match="no whole network"):
        load_teachers(settings, images[0])


def test_a_teacher_may_have_seen_other_images_of_the_same_data(images, tmp_path):
    settings = with_teacher(config("kd"), images, tmp_path)
    few = images[0].subset(np.arange(20))
    assert load_teachers(settings, few)
    path = Path(settings.teacher.weights)
    teacher, description = checkpoint.load_weights(path)
    for name in ("class_names", "mean", "std"):
        del description[name]
    checkpoint.save_weights(teacher, path, description)
    assert load_teachers(settings, few)


def test_a_teacher_of_no_use_is_told_of(images, tmp_path):
    settings = with_teacher(config("kd"), images, tmp_path)
    path = Path(settings.teacher.weights)
    teacher, description = checkpoint.load_weights(path)
    told = []
    # Ten classes; in training are as many of each, but for one or two.
    for score in (14.0, 10.5):
        checkpoint.save_weights(teacher, path, {**description, "val_acc": score})
        assert load_teachers(settings, images[0], told.append)
    (line,) = told
    assert "is right on 10.50 % of its val images, and one that always names" in line
    assert line.endswith("give one that was trained for longer.")


def test_a_checkpoint_from_the_middle_of_a_training_is_told_of(images, tmp_path):
    trainer = Trainer(config("ce"), *images, place=CPU)
    trainer.run_epoch()
    checkpoint.save(trainer.state(), tmp_path / "checkpoint.pt")
    settings = config("kd")
    given = replace(settings.teacher, weights=str(tmp_path / "checkpoint.pt"))
    told = []
    load_teachers(replace(settings, teacher=given), images[0], told.append)
    assert "had 1 of its 3 epochs when it was written; give one" in told[0]


def cut(**changes):
    split = SplitConfig(**({"val_fraction": 0.6, "train_size": 100} | changes))
    return config("kd", split=split), train_val(open_dataset("digits").train, split)


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({}, False),
        ({"train_size": 150}, False),
        # The teacher's val holds all of a smaller one, and not all of a larger one.
        ({"val_fraction": 0.4}, False),
        ({"val_fraction": 0.7}, True),
        ({"seed": 1}, True),
        ({"val_per_class": 5}, True),
    ],
)
def test_a_teacher_that_saw_val_is_refused_unless_it_may(changes, seen, tmp_path):
    settings, images = cut()
    settings = with_teacher(settings, images, tmp_path)
    teacher = settings.teacher
    other, (train, _) = cut(**changes)
    other = replace(other, teacher=teacher)
    told = []
    if seen:
        with pytest.raises(UserError, match="was trained on val images of this split"):
            load_teachers(other, train, told.append)
        other = replace(other, teacher=replace(teacher, saw_val=True))
    assert load_teachers(other, train, told.append)
    assert told == []


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({}, False),
        ({"fraction": 0.5}, False),
        ({"val_fraction": 0.3}, False),
        ({"seed": 1}, True),
        ({"val_per_class": 6}, True),
        ({"val_per_class": None}, True),
    ],
)
def test_val_of_so_many_a_class_is_the_same_for_the_same_number(changes, seen, tmp_path):
    given = {"val_per_class": 5, "train_size": None}
    settings, images = cut(**given)
    settings = with_teacher(settings, images, tmp_path)
    other, (train, _) = cut(**given | changes)
    other = replace(other, teacher=settings.teacher)
    if not seen:
        assert load_teachers(other, train)
        return
    with pytest.raises(UserError, match="was trained on val images of this split"):
        load_teachers(other, train)


def test_a_val_set_of_its_own_no_seed_cuts(tmp_path):
    digits = open_dataset("digits").train
    own = digits.subset(np.arange(0, 200))
    data = replace(digits.subset(np.arange(200, 1000)), whole=None, val=own)
    images = train_val(data, SplitConfig())
    settings = with_teacher(config("kd", split=SplitConfig()), images, tmp_path)
    for split in (SplitConfig(seed=1), SplitConfig(fraction=0.5)):
        other = replace(settings, split=split)
        assert load_teachers(other, train_val(data, split)[0])
    on_val = SplitConfig(train_on_val=True)
    seen = tmp_path / "seen"
    seen.mkdir()
    settings = with_teacher(config("kd", split=on_val), train_val(data, on_val), seen)
    other = replace(settings, split=SplitConfig())
    with pytest.raises(UserError, match="was trained on val images of this split"):
        load_teachers(other, images[0])


def test_of_a_teacher_that_does_not_say_it_is_said_that_nobody_knows(tmp_path):
    settings, images = cut()
    settings = with_teacher(settings, images, tmp_path)
    path = Path(settings.teacher.weights)
    teacher, description = checkpoint.load_weights(path)
    assert description["split"]["seed"] == 0
    cases = {
        "split": (None, "was trained on other images than these, as far as its file says"),
        "images": (None, "does not say which images it was trained on"),
    }
    for name, (value, sentence) in cases.items():
        checkpoint.save_weights(teacher, path, {**description, name: value})
        told = []
        assert load_teachers(settings, images[0], told.append)
        assert len(told) == 1
        assert sentence in told[0]
    for value in (None, "abc", 0.3, [[0.3]], [0.1, 0.2], []):
        checkpoint.save_weights(teacher, path, {**description, "mean": value})
        with pytest.raises(UserError, match="images of another mean of pixels"):
            load_teachers(settings, images[0])


def test_what_ails_the_device_is_not_put_down_to_the_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    checkpoint.save({"epoch": 1}, path)

    def load(*args, **options):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(torch.OutOfMemoryError):
        checkpoint.load(path)


def test_an_interrupted_save_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "c.pt"
    checkpoint.save({"epoch": 1}, path)
    with pytest.raises((AttributeError, TypeError, ValueError)):
        checkpoint.save({"epoch": (i for i in range(3))}, path)
    assert checkpoint.load(path) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]
