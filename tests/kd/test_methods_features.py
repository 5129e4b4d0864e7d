"""What methods that learn from features draw, fill and publish; their losses are golden tests."""

import json
from collections import Counter

import pytest
import torch

from kd.backbones import build_backbone
from kd.config import TeacherConfig, TrainConfig
from kd.data import check_dataset
from kd.errors import UserError
from kd.methods import build_method, config_class
from kd.methods.base import Task
from kd.methods.crd.loss import OtherClasses
from kd.methods.semckd.loss import SemanticCalibration, embedding
from kd.parts.teacher import Teacher
from kd.train import Flags, train
from kd.training.checkpoint import save_weights
from kd.training.teacher import check_teachers

LABELS = torch.tensor([3, 0, 1, 0, 3, 3, 1, 0])


def test_crd_draws_every_image_of_other_classes_as_often_and_none_of_its_own():
    torch.manual_seed(0)
    draws = 6000
    others = OtherClasses(LABELS, 5)(torch.tensor([0, 1, 3]), draws)
    for label, drawn in zip((0, 1, 3), others.tolist(), strict=True):
        found, expected = Counter(drawn), [n for n, own in enumerate(LABELS) if own != label]
        assert sorted(found) == expected
        share = draws / len(expected)
        assert all(abs(times - share) < 5 * share**0.5 for times in found.values())


def calibrated(batch_size: int) -> SemanticCalibration:
    torch.manual_seed(0)
    task = Task(num_classes=5, num_samples=60, epochs=1, batch_size=batch_size, backbone="resnet8")
    networks = [build_backbone("resnet8", 5) for _ in range(2)]
    config = config_class("semckd")()
    made = build_method("semckd", config, networks[0], task, [Teacher(networks[1])])
    assert isinstance(made, SemanticCalibration)
    return made


def test_in_a_short_batch_semckd_finds_nothing_alike_where_images_are_missing():
    made, stage = calibrated(10), torch.randn(7, 16, 4, 4)
    whole = torch.cat([stage, torch.zeros(3, 16, 4, 4)])
    short, full = (made._embedded([rows], made.queries[:1]) for rows in (stage, whole))
    torch.testing.assert_close(short, full[:7])


def test_a_batch_that_the_last_image_joined_is_compared_with_as_many_as_fit():
    made, stage = calibrated(10), torch.randn(11, 16, 4, 4)
    joined, full = (made._embedded([rows], made.queries[:1]) for rows in (stage, stage[:10]))
    torch.testing.assert_close(joined[:10], full)
    assert joined[10].isfinite().all()


def test_what_compares_a_small_batch_learns_from_any_seed():
    similar = torch.rand(4, 4, generator=torch.Generator().manual_seed(0))
    for seed in range(200):
        torch.manual_seed(seed)
        first, *_ = made = embedding(4)
        made(similar).square().sum().backward()
        assert first.weight.grad.any(), seed


@pytest.mark.parametrize(
    ("backbone", "teacher", "hint"),
    [("resnet8", "resnet20", 4), ("resnet18", "resnet20", 1)],
)
def test_a_hint_that_a_network_has_not_is_refused_before_a_teacher_is_trained(
    backbone, teacher, hint, tmp_path
):
    plain = {"method": "fitnet", "backbone": backbone, "dataset": "digits", "epochs": 1,
             "kd": {"hint_stage": hint}, "teacher": {"backbone": teacher}}  # fmt: skip
    file, folder = tmp_path / "config.yaml", tmp_path / "run"
    file.write_text(json.dumps(plain))
    with pytest.raises(UserError, match=f"kd.hint_stage is {hint}, and the student has"):
        train(Flags(config=file, output=folder))
    assert not folder.exists()


def test_a_file_of_a_teacher_that_has_not_the_hint_is_refused_without_the_images(tmp_path):
    file = tmp_path / "teacher.safetensors"
    about = {"backbone": "resnet8", "num_classes": 10, "in_channels": 1}
    save_weights(build_backbone("resnet8", 10, 1), file, about)
    config = TrainConfig.paper(
        "fitnet",
        "resnet18",
        "digits",
        kd=config_class("fitnet")(hint_stage=1),
        teacher=TeacherConfig(weights=str(file)),
    )
    with pytest.raises(UserError, match="the student has 4 stages, its teacher 3"):
        check_teachers(config, check_dataset("digits"))


@pytest.mark.parametrize(
    ("method", "dataset", "values"),
    [
        ("crd", "cifar100", {"beta": 0.8, "kd_weight": 0.0, "ce_weight": 1.0, "width": 128,
                             "negatives": 16384, "contrast_temperature": 0.07, "momentum": 0.5}),
        ("crd", "imagenet", {"beta": 0.8}),
        ("semckd", "cifar100", {"beta": 400.0, "kd_weight": 1.0, "ce_weight": 1.0,
                                "temperature": 4.0}),
        ("semckd", "imagenet", {"beta": 50.0, "kd_weight": 1.0, "ce_weight": 1.0}),
    ],
)  # fmt: skip
def test_published_values(method, dataset, values):
    found = config_class(method).paper("resnet18", dataset)
    assert {name: getattr(found, name) for name in values} == values


def test_semckd_trains_on_imagenet_as_its_authors_command_does():
    recipe = config_class("semckd").recipe_for("resnet18", "imagenet")
    assert (recipe.epochs, recipe.batch_size) == (90, 256)
    optimizer = recipe.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (0.1, 1e-4)
    assert [mark * 90 for mark in optimizer.milestones] == [30, 60]
    other = config_class("semckd").recipe_for("mobilenetv2", "cifar100")
    assert (other.epochs, other.batch_size, other.optimizer.lr) == (240, 64, 0.01)
