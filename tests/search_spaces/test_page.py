"""docs/search-spaces.md tells the truth: every example on it is loaded."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from kd.config import TrainConfig
from search_spaces import Choice, load_space
from tuning.records.request import Flags, sweeps

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "search-spaces.md").read_text(encoding="utf-8")
FILES = re.findall(r"^```yaml (\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("method", "text"), FILES, ids=[f[1].splitlines()[0] for f in FILES])
def test_an_example_is_a_space_as_typed(method, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(text, encoding="utf-8")
    flags = Flags(method=(method,), preset="laptop", space=Path("mine.yaml"))
    (settings,) = sweeps(flags, gpus=0)
    space = settings.space()
    usual = load_space(method, "resnet8")
    assert space.domains != usual.domains
    for config in space.extremes(settings.base):
        assert TrainConfig.from_dict(config.to_dict()) == config
    for name in yaml.safe_load(text):
        assert any(name in leaf for leaf in space.domains)


def test_every_form_is_there():
    assert len(FILES) >= 7
    text = "\n".join(text for _, text in FILES)
    for form in ("low:", "log: true", "choices:", "step:", "when:", "beta_max:"):
        assert form in text


def test_the_python_on_it_runs(capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    scope: dict = {}
    exec(code, scope)
    assert "kd.alpha: 0.1 … 0.9 in steps of 0.1" in capsys.readouterr().out
    assert (scope["config"].kd.gamma, scope["config"].kd.beta) == (0.1, 0.5)


def test_the_methods_own_space_on_it_can_be_searched(monkeypatch):
    (code,) = re.findall(r"^```python \S+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    module = ModuleType("search_spaces.lsskd")
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, "search_spaces.lsskd", module)
    space = load_space("lsskd", "resnet8")
    assert space.domains["kd.alpha_schedule"] == Choice(("constant", "linear"))
    assert list(space.domains)[-1] == "kd.beta"
    assert load_space("lsskd", "resnet8", fixed={"beta": "1"}).domains.keys() == {
        "kd.alpha", "kd.alpha_schedule",
    }  # fmt: skip
