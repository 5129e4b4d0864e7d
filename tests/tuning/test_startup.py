"""What a command does not need it does not import: help and reading answer at once."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

OLD = Path(__file__).parents[1] / "old" / "runs.tar.gz"
COMMANDS = [*(f"tuning.{n}" for n in ("search", "confirm", "best", "export", "report", "ui"))]
RUN = """
import runpy, sys
module, forbidden, *words = sys.argv[1:]
sys.argv = [module, *words]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
loaded = set(forbidden.split(",")) & set(sys.modules)
assert not loaded, loaded
"""


def run(module: str, forbidden: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", RUN, module, forbidden, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("module", [*COMMANDS, "kd.train"])
def test_help_imports_nothing_heavy(module):
    heavy = "torch,ray,mlflow,optuna,torchvision,sklearn,scipy,matplotlib,pyarrow"
    assert "usage:" in run(module, heavy, "--help")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(OLD) as archive:
        archive.extractall(folder, filter="data")
    return str(folder / "runs")


@pytest.mark.parametrize(
    ("words", "forbidden"),
    [
        (("tuning.best",), "ray,torch"),
        (("tuning.best", "lsskd", "--backbone", "resnet8", "--dataset", "digits"), "ray,torch"),
        (("tuning.export", "--sweep", "finished", "--to", "flags"), "ray,torch,mlflow"),
        (("tuning.export", "lsskd", "--backbone=resnet8", "--dataset=digits"), "ray,torch"),
        (("tuning.report", "finished"), "ray,torch,mlflow"),
        (("tuning.report", "finished", "--table", "latex"), "ray,torch,mlflow"),
        (("tuning.confirm", "finished"), "ray,torch,mlflow"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_reading_never_imports_ray(storage, words, forbidden):
    module, *rest = words
    assert run(module, forbidden, *rest, "--storage", storage)
