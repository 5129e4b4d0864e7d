"""Configurations: written and read back, and refused with a sentence where they make no sense."""

import subprocess
import sys

import pytest
import yaml

from kd.backbones import backbone_names
from kd.config import TrainConfig
from kd.errors import UserError
from kd.hyperparameters import method_names
from kd.schedule import learning_rate


@pytest.mark.parametrize("backbone", backbone_names())
@pytest.mark.parametrize("method", method_names())
def test_a_paper_configuration_is_read_back_as_it_was_written(method, backbone, tmp_path):
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


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "just words\n"])
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
        "import sys; from kd.config import TrainConfig; from kd.hyperparameters import *;"
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
