"""What a command does not need it does not import: help and reading answer at once."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from synthetic import sweep_result
from test_report import keep

from tuning.reports.files import write_report

OLD = Path(__file__).parents[1] / "old" / "runs.tar.gz"
NAMES = ("search", "confirm", "compare", "best", "export", "report", "replay", "ui")
COMMANDS = [f"tuning.{name}" for name in NAMES]
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


@pytest.mark.parametrize("module", [*COMMANDS, "kd.train", "kd.backbones"])
def test_help_imports_nothing_heavy(module):
    heavy = "torch,ray,mlflow,optuna,torchvision,sklearn,scipy,matplotlib,pyarrow"
    assert "usage:" in run(module, heavy, "--help")


def test_training_imports_no_torchvision_before_it_is_needed():
    """It takes as long to import as torch, in every process that trains."""
    code = "import sys, kd.training.trainer; assert 'torchvision' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(OLD) as archive:
        archive.extractall(folder, filter="data")
    # Confirmed before that decided what is handed out: the first to ask sees to it.
    run("tuning.confirm", "ray,torch", "finished", "--storage", str(folder / "runs"))
    return str(folder / "runs")


HEAVY = "ray,torch,mlflow,sklearn,scipy.stats,pandas"


@pytest.mark.parametrize(
    ("words", "also"),
    [
        (("tuning.best",), "optuna,matplotlib,pyarrow,scipy"),
        (("tuning.best", "lsskd", "--backbone", "resnet8", "--dataset", "digits"), "optuna,scipy"),
        (("tuning.export", "--sweep", "finished", "--to", "flags"), "optuna,pyarrow,scipy"),
        (("tuning.export", "lsskd", "--backbone=resnet8", "--dataset=digits"), "pyarrow,scipy"),
        (("tuning.report", "finished", "--table", "latex"), "matplotlib,pyarrow,scipy"),
        (("tuning.confirm", "finished"), "matplotlib,pyarrow"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_reading_imports_nothing_heavy(storage, words, also):
    module, *rest = words
    assert run(module, f"{HEAVY},{also}", *rest, "--storage", storage)


def test_a_report_is_drawn_once(storage):
    """What was drawn and weighed from the same trials is not again."""
    run("tuning.report", "ray,torch,mlflow,sklearn,scipy.stats", "finished", "--storage", storage)
    picture = Path(storage) / "finished" / "curves.png"
    drawn = picture.stat().st_mtime_ns
    run("tuning.report", f"{HEAVY},matplotlib,pyarrow", "finished", "--storage", storage)
    assert picture.stat().st_mtime_ns == drawn


def test_the_report_that_a_search_left_is_not_weighed_or_drawn_again(tmp_path):
    result = sweep_result(tmp_path / "kept" / "lsskd-one")
    keep(result)
    write_report(result)
    page = result.sweep.folder / "report.html"
    assert "Importance of each hyperparameter" in page.read_text(encoding="utf-8")
    page.unlink()
    # The journal keeps times, and a folder may have been moved.
    moved = (tmp_path / "kept").rename(tmp_path / "moved")
    forbidden = f"{HEAVY},matplotlib,pyarrow"
    run("tuning.report", forbidden, "lsskd-one", "--storage", str(moved))
    page = moved / "lsskd-one" / "report.html"
    assert "Importance of each hyperparameter" in page.read_text(encoding="utf-8")


@pytest.mark.skipif("KD_TEST_ALL" not in os.environ, reason="A sweep more; KD_TEST_ALL=1 runs it.")
def test_the_way_to_the_first_step_is_measured_part_by_part():
    """It reaches into a search by the names of its parts, which may have others by now."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.first_step", "--rounds", "1"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("images", "Ray (and MPS)", "its first epoch", "to the end of the first step"):
        assert part in done.stdout
