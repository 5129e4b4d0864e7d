"""Every recipe and every published value, typed from the papers and not from the code."""

from dataclasses import asdict

import pytest

from kd.config import AugmentConfig, TrainConfig
from kd.methods import config_class


def paper(method, backbone, dataset):
    # The augmentation of a folder is read from its images, which are not here.
    return TrainConfig.paper(method, backbone, dataset, augment=AugmentConfig())


@pytest.mark.parametrize(
    ("method", "backbone", "epochs", "batch", "lr", "milestones", "gamma", "nesterov", "warmup"),
    [
        ("ce", "resnet8", 240, 64, 0.05, [150, 180, 210], 0.1, False, 0),
        ("kd", "resnet8", 240, 64, 0.05, [150, 180, 210], 0.1, False, 0),
        ("kd", "mobilenetv2", 240, 64, 0.01, [150, 180, 210], 0.1, False, 0),
        ("drkd", "resnet18", 200, 128, 0.1, [60, 120, 160], 0.2, False, 1),
        ("drkd", "mobilenetv2", 200, 128, 0.1, [60, 120, 160], 0.2, False, 1),
        ("dtskd", "resnet18", 300, 128, 0.1, [150, 225], 0.1, True, 0),
        ("pskd", "resnet18", 300, 128, 0.1, [150, 225], 0.1, True, 0),
        ("lsskd", "wrn_16_2", 240, 64, 0.05, [150, 210], 0.1, False, 0),
        ("lsskd", "mobilenetv2", 240, 64, 0.05, [150, 210], 0.1, False, 0),
    ],
)
def test_recipes(method, backbone, epochs, batch, lr, milestones, gamma, nesterov, warmup):
    config = paper(method, backbone, "cifar100")
    optimizer = config.optimizer
    assert (config.epochs, config.batch_size) == (epochs, batch)
    assert (optimizer.lr, optimizer.gamma, optimizer.nesterov) == (lr, gamma, nesterov)
    assert [m * epochs for m in optimizer.milestones] == pytest.approx(milestones)
    assert optimizer.warmup * epochs == pytest.approx(warmup)
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 5e-4)
    assert optimizer.schedule == "step"


@pytest.mark.parametrize("name", ["shufflenetv1", "shufflenetv2", "mobilenetv2_half"])
def test_compact_networks_learn_from_kd_at_a_smaller_rate(name):
    assert config_class("kd").recipe_for(name, "cifar100").optimizer.lr == 0.01
    assert config_class("kd").recipe_for("resnet8x4", "cifar100").optimizer.lr == 0.05


CE = {"label_smoothing": 0.0, "smoothing_spread": "uniform"}
KD = {
    "alpha": 0.9,
    "temperature": 4.0,
    "multiplier": 1.0,
    "ce_weight": None,
    "standardise": False,
}
PSKD = {"alpha": 0.8}
LSSKD = {
    "alpha": 0.8,
    "alpha_schedule": "linear",
    "beta": 1.0,
    "gamma": 0.05,
    "temperature": 3.0,
    "feature_target": "backbone",
    "hierarchical_labels": True,
}
DTSKD = {
    "alpha": 0.2,
    "beta_max": 0.9,
    "beta_min": 0.0,
    "beta_schedule": "cosine",
    "lambda_b": (3.0, 1.0, 1.0, 1.0),
    "temperature": 4.0,
    "detach_teacher": False,
    "fusion": "mixed",
}
ON_IMAGENET = {"alpha": 0.9, "beta_max": 1.0, "beta_min": 0.8, "lambda_b": (4.0, 1.0, 1.0, 1.0)}


def drkd(alpha, temperature, multiplier):
    values = {"alpha": alpha, "temperature": temperature, "multiplier": multiplier}
    return values | {"scaling": "per_class"}


@pytest.mark.parametrize(
    ("method", "backbone", "dataset", "values"),
    [
        ("ce", "resnet18", "cifar100", CE),
        ("kd", "resnet18", "cifar100", KD),
        ("pskd", "resnet18", "cifar100", PSKD),
        ("lsskd", "wrn_16_2", "cifar100", LSSKD),
        ("dtskd", "resnet18", "cifar100", DTSKD),
        ("dtskd", "resnet8", "digits", DTSKD | {"lambda_b": (3.0, 1.0, 1.0)}),
        ("dtskd", "resnet18", "parquet:/data/imagenet", DTSKD | ON_IMAGENET),
        ("dtskd", "resnet18", "parquet:imagenet", DTSKD | ON_IMAGENET),
        ("dtskd", "resnet18", "parquet:/data/tiny-imagenet", DTSKD),
        ("drkd", "resnet18", "cifar100", drkd(0.95, 6.0, 50.0)),
        ("drkd", "mobilenetv2", "cifar100", drkd(0.95, 20.0, 1.0)),
        ("drkd", "mobilenetv2", "parquet:/data/tiny-imagenet", drkd(0.10, 20.0, 1.0)),
        ("drkd", "mobilenetv2", "parquet:/data/tiny-imagenet/", drkd(0.10, 20.0, 1.0)),
        ("drkd", "mobilenetv2", "parquet:~/tiny-imagenet/half", drkd(0.95, 20.0, 1.0)),
    ],
)
def test_hyperparameters(method, backbone, dataset, values):
    assert asdict(paper(method, backbone, dataset).kd) == values


@pytest.mark.parametrize(
    ("method", "backbone", "dataset", "recipe"),
    [
        ("dtskd", "resnet18", "imagenet", (90, 256, 0.1, 1e-4, [30, 60])),
        ("kd", "resnet18", "imagenet", (100, 512, 0.2, 1e-4, [30, 60, 90])),
        ("drkd", "resnet50", "tiny-imagenet", (200, 64, 0.05, 5e-4, [60, 120, 160])),
        ("drkd", "mobilenetv2", "tiny-imagenet", (200, 128, 0.1, 5e-4, [60, 120, 160])),
        ("drkd", "mobilenetv2", "cifar10", (200, 256, 0.2, 5e-4, [60, 120, 160])),
    ],
)
def test_recipes_of_other_data(method, backbone, dataset, recipe):
    found = config_class(method).recipe_for(backbone, dataset)
    optimizer = found.optimizer
    marks = [round(mark * found.epochs, 6) for mark in optimizer.milestones]
    given = (found.epochs, found.batch_size, optimizer.lr, optimizer.weight_decay, marks)
    assert given == recipe


def test_kd_on_imagenet_is_mdistillers():
    config = config_class("kd").paper("resnet18", "imagenet")
    assert (config.alpha, config.temperature) == (0.5, 1.0)
