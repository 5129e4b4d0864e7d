"""A search over a network of one's own: from the folder where its file lies to its weights."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from real_sweeps import COMMAND
from safetensors import safe_open

from kd.backbones import build_backbone, whole_name
from kd.config import TrainConfig
from kd.export import export_safetensors
from tuning.cluster.parcel import backbones_of, pack
from tuning.exporters.model_card import model_card
from tuning.records.request import Flags

ROOT = Path(__file__).parents[2]
SOURCE = (ROOT / "tests" / "networks.py").read_text(encoding="utf-8")
NAME = "module:nets.small:net@one=4,two=8,three=12"


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder, env=env)


class Own(NamedTuple):
    folder: Path
    said: str


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    """A folder with a package, and a sweep in it of a method that watches the network's stages."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "nets").mkdir()
    (folder / "nets" / "blocks.py").write_text(SOURCE)
    (folder / "nets" / "small.py").write_text("from nets.blocks import net\n")
    done = run(
        folder, *COMMAND, "dks", "--backbone", "module:nets/small.py:net", "--dataset", "digits",
        "--trials", "2", "--epochs", "1", "--name", "own", "--local",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return Own(folder, done.stdout)


def test_its_trials_import_it_where_they_run(own: Own) -> None:
    assert "2/2" in own.said
    assert "failed" not in own.said
    settings = yaml.safe_load((own.folder / "runs" / "own" / "best_config.yaml").read_text())
    assert settings["backbone"] == NAME
    kept = json.loads((own.folder / "runs" / "own" / "origin.json").read_text())
    assert "nets.small" in kept["versions"]


def test_people_see_its_name_without_the_stages(own: Own) -> None:
    done = run(own.folder, sys.executable, "-m", "tuning.best")
    assert "module:nets.small:net" in done.stdout
    assert "@" not in done.stdout
    asked = ("dks", "--backbone", "module:nets.small:net", "--dataset", "digits")
    done = run(own.folder, sys.executable, "-m", "tuning.best", *asked)
    assert f"backbone: {NAME}" in done.stdout


def test_its_weights_have_its_own_names(own: Own) -> None:
    words = ("--sweep", "own", "--to", "safetensors", "-o", "own.safetensors")
    done = run(own.folder, sys.executable, "-m", "tuning.export", *words)
    assert done.returncode == 0, done.stderr
    with safe_open(str(own.folder / "own.safetensors"), framework="pt") as file:
        names = set(file.keys())
    assert {"conv.weight", "two.1.bn2.running_var", "three.past.bias", "fc.weight"} <= names
    card = (own.folder / "own.safetensors.md").read_text(encoding="utf-8")
    assert "from nets.small import net\nmodel = net(num_classes=10, in_channels=1)" in card
    made, used = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[:2]
    done = run(own.folder, sys.executable, "-c", made + used)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "channels"),
    [("torchvision:mobilenet_v3_small", 1), ("torchvision:mobilenet_v3_small", 3),
     ("torchvision:googlenet", 3), ("timm:resnet18", 1)],
)  # fmt: skip
def test_the_card_of_a_network_of_elsewhere_makes_it(
    name: str, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = whole_name(name)
    about = {
        "backbone": name, "num_classes": 4, "in_channels": channels, "mean": [0.5] * channels,
        "std": [0.5] * channels, "image_size": [32, 32], "class_names": list("abcd"),
        "val_acc": 25.0, "epochs": 1,
    }  # fmt: skip
    export_safetensors(build_backbone(name, 4, channels), about, tmp_path / "one.safetensors")
    config = TrainConfig.paper("ce", name, "digits", epochs=1)
    card = model_card(tmp_path / "one.safetensors", "safetensors", config, about)
    scope: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL)[:2]:
        exec(code, scope)
    assert isinstance(scope["model"], torch.nn.Module)


def test_where_its_file_is_not_it_is_one_sentence(own: Own, tmp_path: Path) -> None:
    file = own.folder / "runs" / "own" / "best_config.yaml"
    done = run(tmp_path, sys.executable, "-m", "kd.train", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no nets/small.py in the current folder; type")
    assert len(done.stderr.splitlines()) == 1


def test_a_search_that_goes_on_says_that_its_file_is_another(own: Own) -> None:
    file = own.folder / "nets" / "small.py"
    file.write_text("# another\nfrom nets.blocks import net\n")
    words = ("--resume", "own", "--trials", "3", "--local")
    done = run(own.folder, *COMMAND, *words)
    assert done.returncode == 0, done.stderr
    assert "nets.small: another version than own began with" in done.stdout + done.stderr
    blocks = own.folder / "nets" / "blocks.py"
    blocks.write_text(SOURCE.replace("Block(4, 8, 2), Block(8, 8", "Block(4, 6, 2), Block(6, 8"))
    blocks.write_text(blocks.read_text().replace("Block(6, 8, 1)", "Block(6, 6, 1)"))
    blocks.write_text(blocks.read_text().replace("Block(8, 12, 2)", "Block(6, 12, 2)"))
    done = run(own.folder, *COMMAND, "--resume", "own", "--trials", "4", "--local")
    blocks.write_text(SOURCE)
    file.write_text("from nets.blocks import net\n")
    assert done.returncode == 2
    assert "has 6 channels behind two, and its configuration names 8; put the" in done.stderr


def test_it_goes_to_a_cluster_with_the_sweep(
    own: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own.folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    pack(tmp_path, backbones_of(Flags(method=("dks",), backbone=("module:nets.small:net",))))
    sent = {path.name for path in tmp_path.iterdir()}
    assert sent == {"kd", "tuning", "search_spaces", "nets"}
    assert (tmp_path / "nets" / "small.py").exists()
    assert backbones_of(Flags(resume=("own",))) == {NAME}
