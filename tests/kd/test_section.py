"""One validator for every section of a configuration, and what importing them costs."""

import json
import subprocess
import sys
from dataclasses import dataclass
from math import inf, nan

import pytest

from kd.config import AugmentConfig, OptimizerConfig, SplitConfig, TeacherConfig, TrainConfig
from kd.errors import UserError
from kd.methods import config_class
from kd.section import Section, read_mapping


@dataclass(frozen=True, kw_only=True)
class Numbers(Section):
    value: float


@pytest.mark.parametrize(
    ("value", "low", "high", "open_ends"),
    [
        (0, 0, 1, ()),
        (1, 0, 1, ()),
        (0.5, 0, 1, ("open_low", "open_high")),
        (-1e300, -inf, 0, ()),
        (10**400, 0, inf, ()),
    ],
)
def test_what_lies_in_the_range_passes(value, low, high, open_ends):
    Numbers(value=value).check("value", low, high, **dict.fromkeys(open_ends, True))


@pytest.mark.parametrize(
    ("value", "low", "high", "open_ends", "sentence"),
    [
        (1.5, 0, 1, (), "value is 1.5; it must be at least 0 and at most 1."),
        (0, 0, 1, ("open_low",), "value is 0; it must be above 0 and at most 1."),
        (1.0, 0, 1, ("open_high",), "value is 1.0; it must be at least 0 and below 1."),
        (nan, 0, 1, (), "value is nan; it must be at least 0 and at most 1."),
        (inf, 0, inf, (), "value is inf; it must be at least 0 and finite."),
        (nan, 0, inf, ("open_low",), "value is nan; it must be above 0 and finite."),
        (-inf, -inf, inf, (), "value is -inf; it must be finite."),
        (-inf, -inf, 3, (), "value is -inf; it must be at most 3."),
        (0, 1, inf, (), "value is 0; it must be at least 1."),
        (2**63, -inf, 2**63 - 1, (), f"value is {2**63}; it must be at most {2**63 - 1}."),
    ],
)
def test_what_does_not_is_refused_with_the_range(value, low, high, open_ends, sentence):
    with pytest.raises(UserError) as error:
        Numbers(value=value).check("value", low, high, **dict.fromkeys(open_ends, True))
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: OptimizerConfig(lr=-1), "optimizer.lr"),
        (lambda: AugmentConfig(crop_padding=-1), "augment.crop_padding"),
        (lambda: SplitConfig(train_size=0), "split.train_size"),
        (lambda: TeacherConfig(epochs=0), "teacher.epochs"),
        (lambda: config_class("pskd")(alpha=-1), "kd.alpha"),
        (lambda: TrainConfig.paper("ce", "resnet8", "digits", batch_size=1), "batch_size"),
    ],
)
def test_a_sentence_names_the_value_as_a_file_has_it(build, name):
    with pytest.raises(UserError) as error:
        build()
    assert str(error.value).startswith(f"{name} is ")


@pytest.mark.parametrize("module", ["kd.config", "kd.data", "kd.hyperparameters"])
def test_importing_a_configuration_imports_nothing_heavy(module):
    heavy = {"torch", "torchvision", "numpy", "pyarrow", "sklearn", "PIL", "ray", "mlflow"}
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_json_beyond_the_basic_plane_is_read_as_it_is_meant(tmp_path):
    written = {"name": "\U0001f600 x", "list": ["a\U0001f680b"]}
    (tmp_path / "c.json").write_text(json.dumps(written))
    assert read_mapping(tmp_path / "c.json") == written
    (tmp_path / "c.json").write_text('{"name": "\\udcff"}')
    assert read_mapping(tmp_path / "c.json") == {"name": "\udcff"}, "no text, and not made one"
