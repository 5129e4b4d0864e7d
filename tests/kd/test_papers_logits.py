"""The published values of methods that learn from logits, typed from papers and public code."""

from dataclasses import asdict

import pytest

from kd.config import AugmentConfig, TeacherConfig, TrainConfig
from kd.methods import config_class

DKD = {"alpha": 1.0, "beta": 8.0, "temperature": 4.0, "warmup": 20, "standardise": False}
RLD = DKD | {"alpha_temperature": 1.0}
NKD = {"gamma": 3.5, "temperature": 3.0}
DIST = {"beta": 1.0, "gamma": 1.0, "weight": 2.0, "temperature": 4.0}
TTM = {"gamma": 0.1, "beta": 45.0, "ce_weight": 1.0}
CTKD = {
    "ce_weight": 0.1,
    "kd_weight": 0.9,
    "lowest_temperature": 1.0,
    "temperature_range": 20.0,
    "curriculum": 10,
    "curriculum_schedule": "cosine",
    "term": "kd",
    "alpha": 1.0,
    "beta": 2.0,
    "standardise": False,
}
MLKD = {
    "ce_weight": 0.1,
    "kd_weight": 0.9,
    "temperature": 4.0,
    "second_view": False,
    "second_relations": False,
    "standardise": False,
}
WKD_L = {
    "gamma": 600.0,
    "temperature": 8.0,
    "sharpness": 1.0,
    "regularisation": 0.05,
    "iterations": 10,
    "decay_start": 0.625,
    "class_distance": "features",
}
HALF = {"ce_weight": 0.5, "kd_weight": 0.5, "temperature": 1.0}


@pytest.mark.parametrize(
    ("method", "teacher", "student", "dataset", "values"),
    [
        ("dkd", "resnet32x4", "resnet8x4", "cifar100", DKD),
        ("dkd", "resnet56", "resnet20", "cifar100", DKD | {"beta": 2.0}),
        ("dkd", "resnet110", "resnet20", "cifar100", DKD),
        ("dkd", "resnet110", "resnet32", "cifar100", DKD | {"beta": 2.0}),
        ("dkd", "vgg13", "vgg8", "cifar100", DKD | {"beta": 6.0}),
        ("dkd", "resnet50", "vgg8", "cifar100", DKD),
        ("dkd", "vgg13", "mobilenetv2_half", "cifar100", DKD | {"beta": 6.0}),
        ("dkd", "resnet50", "mobilenetv2_half", "cifar100", DKD),
        ("dkd", "wrn_40_2", "wrn_16_2", "cifar100", DKD | {"beta": 6.0}),
        ("dkd", "wrn_40_2", "wrn_40_1", "cifar100", DKD | {"beta": 6.0}),
        ("dkd", "wrn_40_2", "shufflenetv1", "cifar100", DKD),
        ("dkd", None, "wrn_16_2", "cifar100", DKD | {"beta": 6.0}),
        (
            "dkd",
            "resnet34",
            "resnet18",
            "imagenet",
            DKD | {"beta": 0.5, "temperature": 1.0, "warmup": 1},
        ),
        (
            "dkd",
            "resnet50",
            "mobilenetv1",
            "imagenet",
            DKD | {"beta": 2.0, "temperature": 1.0, "warmup": 1},
        ),
        ("rld", "resnet56", "resnet20", "cifar100", RLD),
        (
            "rld",
            "resnet34",
            "resnet18",
            "imagenet",
            RLD | {"beta": 0.5, "temperature": 1.0, "warmup": 1},
        ),
        ("nkd", "resnet34", "resnet18", "cifar100", NKD),
        ("nkd", "resnet34", "resnet18", "imagenet", {"gamma": 1.5, "temperature": 1.0}),
        ("dist", "resnet56", "resnet20", "cifar100", DIST),
        ("dist", "resnet34", "resnet18", "imagenet", DIST | {"temperature": 1.0}),
        ("ttm", "vgg13", "vgg8", "cifar100", TTM),
        ("wttm", "vgg13", "vgg8", "cifar100", TTM | {"gamma": 0.2, "beta": 4.0}),
        ("ctkd", "resnet56", "resnet20", "cifar100", CTKD),
        (
            "ctkd",
            "resnet34",
            "resnet18",
            "imagenet",
            CTKD | {"ce_weight": 1.0, "kd_weight": 1.0, "curriculum": 5},
        ),
        ("mlkd", "resnet56", "resnet20", "cifar100", MLKD),
        ("mlkd", "resnet34", "resnet18", "imagenet", MLKD | HALF),
        ("wkd_l", "resnet32x4", "resnet8x4", "cifar100", WKD_L),
        (
            "wkd_l",
            "wrn_40_2",
            "shufflenetv1",
            "cifar100",
            WKD_L | {"gamma": 200.0, "temperature": 6.0},
        ),
        (
            "wkd_l",
            "resnet34",
            "resnet18",
            "imagenet",
            WKD_L | {"gamma": 30.0, "temperature": 2.0, "decay_start": 0.0},
        ),
        (
            "wkd_l",
            "resnet50",
            "mobilenetv1",
            "imagenet",
            WKD_L | {"gamma": 25.0, "temperature": 2.0, "sharpness": 2.0, "decay_start": 0.0},
        ),
    ],
)
def test_what_is_published_for_a_pair(method, teacher, student, dataset, values):
    assert asdict(config_class(method).paper(student, dataset, teacher)) == values


@pytest.mark.parametrize(
    ("dataset", "values"),
    [("cifar100", (0.1, 0.1, 0.1)), ("digits", (0.1, 0.1, 0.1)), ("imagenet", (1.0, 0.1, 0.005))],
)
def test_uskd(dataset, values):
    config = config_class("uskd").paper("resnet18", dataset)
    assert (config.alpha, config.beta, config.mu) == values


@pytest.mark.parametrize(
    ("teacher", "beta"),
    [
        # The registry pairs resnet56 with it.
        (None, 2.0),
        ({}, 2.0),
        ({"backbone": "resnet56"}, 2.0),
        ({"backbone": "resnet18"}, 8.0),
        # Nobody knows whose weights they are: those of a pair with this student.
        ({"weights": "t.safetensors"}, 2.0),
        ({"weights": "t.safetensors", "backbone": "resnet18"}, 8.0),
    ],
)
def test_a_configuration_takes_the_values_of_its_pair(teacher, beta):
    cell = {"method": "dkd", "backbone": "resnet20", "dataset": "cifar100"}
    plain = {**cell} if teacher is None else {**cell, "teacher": teacher}
    assert TrainConfig.from_dict(plain).kd.beta == beta
    given = {} if teacher is None else {"teacher": TeacherConfig(**teacher)}
    paper = TrainConfig.paper(*cell.values(), augment=AugmentConfig(), **given)
    assert paper.kd.beta == beta
    # What is written stays as it is written.
    assert TrainConfig.from_dict(paper.to_dict()) == paper
    assert TrainConfig.from_dict(plain | {"kd": {"beta": 3.0}}).kd.beta == 3.0


@pytest.mark.parametrize("method", ["dkd", "wkd_l", "mlkd"])
@pytest.mark.parametrize(("backbone", "lr"), [("resnet20", 0.05), ("mobilenetv2", 0.01)])
def test_recipes(method, backbone, lr):
    config = TrainConfig.paper(method, backbone, "cifar100", augment=AugmentConfig())
    assert (config.epochs, config.batch_size, config.optimizer.lr) == (240, 64, lr)
