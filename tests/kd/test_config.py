"""Configurations: written and read back, and refused with a sentence where they make no sense."""

import subprocess
import sys
from math import cos, inf, nan, pi

import pytest
import yaml

from kd.backbones import backbone_names
from kd.config import AugmentConfig, OptimizerConfig, SplitConfig, TrainConfig
from kd.errors import UserError
from kd.methods import config_class, method_names
from kd.optimizer import cycle, learning_rate


@pytest.mark.parametrize("method", method_names())
def test_a_paper_configuration_is_read_back_as_it_was_written(method, tmp_path):
    for backbone in backbone_names():
        config = TrainConfig.paper(method, backbone, "cifar100")
        path = tmp_path / "config.yaml"
        path.write_text(config.to_yaml())
        assert TrainConfig.load(path) == config


def change(**changes):
    data = TrainConfig.paper("lsskd", "resnet8", "digits").to_dict()
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            data[section][key] = value
        else:
            data[section] = value
    return data


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (change(method="lskd"), "did you mean 'lsskd'"),
        (change(backbone="resnet9"), "did you mean 'resnet"),
        (change(kd__alfa=0.5), "did you mean 'alpha'"),
        (change(kd__alpha="much"), "kd.alpha is 'much'"),
        (change(kd__alpha=1.5), "at most 1"),
        (change(optimizer__lr=-1), "lr is -1.0"),
        (change(optimizer__momentun=0.9), "did you mean 'momentum'"),
        (change(optimizer__schedule="linear"), "optimizer.schedule is 'linear'"),
        (change(optimizer__milestones=[0.9, 0.5]), "rising fractions"),
        (change(epochs=0), "epochs is 0"),
        (change(epoch=3), "did you mean 'epochs'"),
        (change(split__val_fraction=0), "val_fraction"),
        ({"method": "lsskd"}, "no 'backbone'"),
        (change(dataset=None), "no 'dataset'"),
        (change(optimizer__nesterov=True, optimizer__momentum=0), "nesterov is true"),
        # -- finite
        (change(optimizer__lr=inf), "lr is inf"),
        (change(optimizer__gamma=inf), "gamma is inf"),
        (change(optimizer__weight_decay=nan), "weight_decay is nan"),
        (change(optimizer__weight_decay=inf), "weight_decay is inf"),
        (change(optimizer__lr=10**400), "it must be a number"),
        (change(kd__beta=inf), "kd.beta is inf"),
        (change(kd__temperature="1e999"), "kd.temperature is inf"),
        (change(kd__temperature=1e300), "kd.temperature is 1e+300; it must be at least 0.001"),
        (change(kd__temperature=1e-30), "kd.temperature is 1e-30"),
        # -- true is not 1
        (change(epochs=True), "epochs is true, but it must be a number"),
        (change(optimizer__lr=True), "optimizer.lr is true"),
        (change(optimizer__milestones=[0.5, True]), "optimizer.milestones.1 is true"),
        (change(kd__alpha=True), "kd.alpha is true"),
        (change(split__train_size=True), "split.train_size is true"),
        # -- empty
        (change(epochs=None), "epochs is empty, but it must be a whole number."),
        (change(optimizer__lr=None), "optimizer.lr is empty"),
        (change(bogus=None), "no key 'bogus'"),
        # -- no section
        (change(kd=[]), "kd is []; put names and values below it."),
        (change(kd=5), "kd is 5;"),
        (change(optimizer="sgd"), "optimizer is 'sgd';"),
        # -- 64 bits
        (change(seed=2**64), "seed is 18446744073709551616; it must be at most"),
        (change(split__seed=2**200), "split.seed is"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_it(data, sentence):
    with pytest.raises(UserError) as error:
        TrainConfig.from_dict(data, "config.yaml")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_that_yaml_reads_as_text_are_numbers():
    data = yaml.safe_load("weight_decay: 5e-4")
    assert isinstance(data["weight_decay"], str)
    config = TrainConfig.from_dict(change(optimizer__weight_decay=data["weight_decay"]))
    assert config.optimizer.weight_decay == 5e-4


@pytest.mark.parametrize(
    "build",
    [
        lambda: OptimizerConfig(lr=inf),
        lambda: OptimizerConfig(weight_decay=nan),
        lambda: config_class("kd")(temperature=inf),
        lambda: config_class("lsskd")(beta=inf),
        lambda: config_class("dtskd")(lambda_b=(inf, 1.0, 1.0, 1.0)),
        lambda: config_class("drkd")(multiplier=nan),
        lambda: SplitConfig(val_fraction=nan),
        lambda: AugmentConfig(flip=nan),
    ],
)
def test_a_number_that_is_not_finite_is_refused_wherever_it_comes_from(build):
    with pytest.raises(UserError, match=r"(inf|nan)\b.*; "):
        build()


def test_a_pattern_chooses_methods_in_order():
    names = method_names()
    assert list(names) == sorted(names)
    assert method_names("*kd") == tuple(name for name in names if name.endswith("kd"))
    assert {"drkd", "dtskd", "kd", "lsskd", "pskd"} <= set(method_names("*kd"))
    assert method_names("dt*") == ("dtskd",)
    assert method_names("KD") == ()


# -- what a file leaves out ----------------------------------------------------------------------


@pytest.mark.parametrize("method", method_names())
def test_a_short_file_is_trained_as_the_paper_does(method):
    for backbone in backbone_names():
        short = {"method": method, "backbone": backbone, "dataset": "digits"}
        assert TrainConfig.from_dict(short) == TrainConfig.paper(method, backbone, "digits")


def test_a_file_may_leave_out_sections_and_keys_of_sections():
    text = """
method: drkd
backbone: mobilenetv2
dataset: digits
epochs: 3
kd: {alpha: 0.5}
optimizer: {lr: 0.02}
augment: {cutout: 2}
split:
"""
    config = TrainConfig.from_dict(yaml.safe_load(text))
    paper = TrainConfig.paper("drkd", "mobilenetv2", "digits")
    changed = {"epochs": 3, "kd.alpha": 0.5, "optimizer.lr": 0.02, "augment.cutout": 2}
    assert config.flat() == paper.flat() | changed


def test_a_whole_file_is_read_without_its_images():
    config = TrainConfig.paper("ce", "resnet8", "parquet:gone", augment=AugmentConfig())
    assert TrainConfig.from_dict(config.to_dict()) == config
    without = config.to_dict() | {"augment": None}
    with pytest.raises(UserError, match="gone"):
        TrainConfig.from_dict(without)


def test_whole_numbers_are_read_for_others():
    config = TrainConfig.from_dict(change(optimizer__lr=1, kd__temperature=4, epochs=2.0))
    assert (config.optimizer.lr, config.kd.temperature, config.epochs) == (1.0, 4.0, 2)
    assert type(config.optimizer.lr) is float


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "- a\n- b\n",
        "a: [1\n",
        "just words\n",
        "a: 2020-13-45\n",
        "a: !!int x\n",
        "a: !!int ''\n",
        "a: !!bool x\n",
        "a: !!timestamp x\n",
        f"a: {'9' * 5000}\n",
        "[" * 3000,
    ],
    ids=range(10),
)
def test_a_file_that_is_no_mapping_is_refused(text, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"c\.yaml"):
        TrainConfig.load(path)


def test_flat_names_are_dotted():
    flat = TrainConfig.paper("dtskd", "resnet18", "cifar100").flat()
    assert flat["kd.lambda_b.0"] == 3.0
    assert flat["optimizer.lr"] == 0.1


def test_reading_a_configuration_imports_no_torch_and_no_ray():
    code = (
        "import sys; from kd.config import TrainConfig; from kd.methods import *;"
        "[TrainConfig.paper(m, 'resnet18', 'cifar100') for m in method_names()];"
        "sys.exit(bool({'torch', 'ray', 'optuna', 'mlflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_step_schedule_drops_where_the_paper_says():
    config = TrainConfig.paper("lsskd", "resnet20", "cifar100").optimizer
    rates = [learning_rate(config, epoch + 0.5, 240) for epoch in range(240)]
    drops = [e for e in range(1, 240) if rates[e] < rates[e - 1]]
    assert drops == [150, 210]
    assert rates[0] == 0.05
    assert rates[-1] == pytest.approx(0.0005)


def test_the_rate_rises_evenly_during_the_warm_up():
    config = OptimizerConfig(lr=0.1, warmup=0.1, milestones=(0.5,))
    rates = [learning_rate(config, progress, 50) for progress in (0, 1, 2.5, 4, 5, 24.9, 25)]
    assert rates == pytest.approx([0.0001, 0.02, 0.05, 0.08, 0.1, 0.1, 0.01])


def test_drkd_warms_up_for_one_epoch_and_falls_to_a_fifth():
    config = TrainConfig.paper("drkd", "resnet18", "cifar100").optimizer
    rates = [learning_rate(config, progress, 200) for progress in (0.5, 1, 59.9, 60, 120, 160)]
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.02, 0.004, 0.0008])


@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_the_cosine_falls_from_the_end_of_the_warm_up_to_0(warmup):
    config = OptimizerConfig(lr=0.1, schedule="cosine", warmup=warmup)
    begin = warmup * 100
    for share in (0, 0.25, 0.5, 0.75, 1):
        rate = learning_rate(config, begin + share * (100 - begin), 100)
        assert rate == pytest.approx(0.05 * (1 + cos(pi * share)))
    if warmup:
        assert learning_rate(config, begin / 2, 100) == pytest.approx(0.05)


def test_each_cycle_has_the_whole_course_of_the_rate():
    """Cycles of whole epochs, as even as they go; of more than there are epochs some have none."""
    config = OptimizerConfig(lr=0.1, schedule="cosine", warmup=0.1)
    once = [learning_rate(config, progress / 2, 4) for progress in range(8)]
    rates = [learning_rate(config, progress / 2, 12, 3) for progress in range(24)]
    assert rates == once * 3
    parts = {
        (10, 4): [(0, 2), (2, 5), (5, 7), (7, 10)],
        (3, 1): [(0, 3)],
        (2, 5): [(0, 1), (1, 2)],
    }
    for (epochs, cycles), wanted in parts.items():
        found = [cycle(epoch, epochs, cycles) for epoch in range(epochs)]
        assert found == [pair for pair in wanted for _ in range(*pair)]


@pytest.mark.parametrize("method", [m for m in method_names() if config_class(m).in_epochs])
def test_what_is_counted_in_epochs_keeps_its_part_of_a_training(method):
    whole = TrainConfig.paper(method, "resnet8", "digits")
    halved = TrainConfig.paper(method, "resnet8", "digits", epochs=whole.epochs // 2)
    short = TrainConfig.paper(method, "resnet8", "digits", epochs=1)
    for name in whole.kd.in_epochs:
        published = getattr(whole.kd, name)
        assert getattr(halved.kd, name) == published // 2
        assert getattr(short.kd, name) == (1 if published else 0)
    plain = {"method": method, "backbone": "resnet8", "dataset": "digits"}
    assert TrainConfig.from_dict(plain | {"epochs": halved.epochs}) == halved
    assert halved.lasting(whole.epochs) == whole
    given = {"epochs": 1, "kd": dict.fromkeys(whole.kd.in_epochs, 7)}
    assert all(getattr(TrainConfig.from_dict(plain | given).kd, n) == 7 for n in whole.kd.in_epochs)
