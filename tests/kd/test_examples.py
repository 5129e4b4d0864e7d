"""examples/: configurations that are read, and one that is trained as its first lines say."""

from pathlib import Path

import pytest

from kd.config import TrainConfig
from kd.section import read_yaml
from kd.train import main

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_says_what_it_trains(file):
    given = read_yaml(file.read_text(encoding="utf-8"))
    config = TrainConfig.from_dict(given)
    assert (config.method, config.backbone) == (given["method"], given["backbone"])
    for name, value in given["kd"].items():
        assert getattr(config.kd, name) == value
    assert f"python -m kd.train examples/{file.name} " in file.read_text(encoding="utf-8")


def test_the_small_one_is_trained(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main([str(EXAMPLES / "digits.yaml"), "--output", str(tmp_path / "out")])
    assert not end.value.code
    assert (tmp_path / "out" / "student.safetensors").exists()
