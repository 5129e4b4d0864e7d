"""CONTRIBUTING.md tells the truth: its example is followed to the letter."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = re.compile(r"^```python (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

FOLLOWED = """
from kd.testing import check_method
check_method("confidence", "resnet8")

from kd.config import TrainConfig
from search_spaces import load_space
base = TrainConfig.paper("confidence", "resnet8", "digits")
space = load_space("confidence", "resnet8")
assert space.apply(base, space.default_values(base)) == base

import kd, search_spaces
from tuning.search import main
main(["confidence", "--preset", "laptop", "--dry-run", "--workers-per-trial", "2"])
"""


def test_the_example_method_needs_only_the_files_that_are_shown(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = dict(FILE.findall(text))
    assert len(files) == 3
    for package in ("kd", "search_spaces", "tuning"):
        shutil.copytree(ROOT / package, tmp_path / package)
    for name, code in files.items():
        assert not (tmp_path / name).exists(), "the example must not be in the project already"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", FOLLOWED], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "confidence on resnet8 and digits" in done.stdout
    assert "kd.beta" in done.stdout


def test_the_method_of_the_other_page_keeps_the_contract(tmp_path):
    files = dict(FILE.findall((ROOT / "docs" / "methods.md").read_text(encoding="utf-8")))
    assert len(files) == 2
    shutil.copytree(ROOT / "kd", tmp_path / "kd")
    for name, code in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code, encoding="utf-8")
    check = 'from kd.testing import check_method; check_method("warmed", "resnet8")'
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_is_one_page():
    lines = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 110
