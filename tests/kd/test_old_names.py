"""Code that says `kd.hyperparameters` or `kd.trainer` gets the very same objects."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import kd.methods
import kd.training.trainer
from kd.config import TrainConfig
from kd.methods import config_class, method_names

EXPORTED = (Path(__file__).parents[1] / "old" / "exported.py").read_text(encoding="utf-8")
"""As `tuning.export --to python` wrote it when the configurations had a folder of their own."""


def test_an_exported_module_builds_its_configuration_without_torch(tmp_path):
    (tmp_path / "tuned.py").write_text(EXPORTED)
    code = "import sys, tuned; print(tuned.config.to_yaml()); sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / "tuned.yaml").write_text(done.stdout)
    scope = {}
    exec(EXPORTED, scope)
    assert TrainConfig.load(tmp_path / "tuned.yaml") == scope["config"]


@pytest.mark.parametrize("method", method_names())
def test_a_methods_configuration_is_the_same_class(method):
    old = importlib.import_module(f"kd.hyperparameters.{method}")
    assert old.Config is config_class(method)
    assert getattr(sys.modules["kd.hyperparameters"], method) is old


def test_the_registry_is_the_same():
    old = importlib.import_module("kd.hyperparameters")
    for name in ("MethodConfig", "Recipe", "config_class", "method_names"):
        assert getattr(old, name) is getattr(kd.methods, name)


def test_the_trainer_is_the_same():
    from kd.trainer import DivergedError, Place, Trainer

    own = kd.training.trainer
    assert (DivergedError, Place, Trainer) == (own.DivergedError, own.Place, own.Trainer)
