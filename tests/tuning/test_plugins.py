"""A package of another's adds a method, a backbone, a data set and a format: the example one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a module where the example is installed, from a folder that is not the project's."""
    folder = tmp_path_factory.mktemp("plugin")
    source, site = folder / "source", folder / "site"
    shutil.copytree(PLUGIN, source)
    install = ["uv", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(source)]
    subprocess.run([sys.executable, "-m", *install], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env=environment | more,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


SITE = "import kd_example, pathlib; print(pathlib.Path(kd_example.__file__).parents[1])"
DIGITS = Path(__file__).parents[2] / "examples" / "digits.yaml"
DRY = ("tuning.search", "--preset", "laptop", "--dry-run")
WORDS = {
    "methods": (*DRY, "five"),
    "backbones": (*DRY, "ce", "--backbone", "five"),
    "data": (*DRY, "ce", "--dataset", "five"),
    "formats": ("tuning.export", "--config", str(DIGITS), "--to", "five"),
}
"""What is typed to have what a package adds as `five`, by group."""


def add(folder: Path, package: str, points: str, **modules: str) -> None:
    """A package that is installed in `folder`: its entry points, and the code of its modules."""
    about = folder / f"{package}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(points)
    for name, code in {"__init__": "", **modules}.items():
        (folder / package).mkdir(exist_ok=True)
        (folder / package / f"{name}.py").write_text(code)


def test_a_method_of_a_plugin_keeps_the_contract(run: Run) -> None:
    check = "from kd.testing import check_method; check_method('focal', 'resnet8')"
    done = run("-c", check)
    assert done.returncode == 0, done.stderr


def test_what_a_plugin_adds_is_searched_kept_trained_and_exported(run: Run, tmp_path: Path) -> None:
    done = run(
        *("-m", "tuning.search", "focal", "--backbone", "tiny", "--dataset", "stripes"),
        *("--preset", "laptop", "--trials", "2", "--epochs", "2", "--local", "--name", "added"),
        *("--set", "batch_size=32", "--set", "optimizer.lr=0.05"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "focus" in done.stdout
    best = run("-m", "tuning.best", "focal")
    assert best.returncode == 0, best.stderr
    exported = run("-m", "tuning.export", "--sweep", "added", "--to", "argfile")
    assert exported.returncode == 0, exported.stderr
    assert exported.stdout.startswith("method=focal\nfocus=")
    config = run("-m", "tuning.export", "--sweep", "added", "-o", "best.yaml")
    assert config.returncode == 0, config.stderr
    trained = run("-m", "kd.train", "best.yaml", "--output", "out")
    assert trained.returncode == 0, trained.stderr
    # What goes on with it finds a loss that is broken by now before Ray starts.
    broken = shutil.copytree(run("-c", SITE).stdout.strip(), tmp_path / "site")
    (broken / "kd_example" / "focal" / "loss.py").write_text("x = (")
    for words in (("tuning.search", "--resume", "added"), ("tuning.confirm", "added")):
        done = run("-m", *words, PYTHONPATH=str(broken))
        assert done.returncode == 2, done.stdout + done.stderr
        assert "focal, which the package kd-example adds, cannot be imported" in done.stderr
        assert "Starting Ray" not in done.stdout


def test_a_network_that_is_added_is_called_by_its_name(run: Run) -> None:
    code = "from kd.backbones.names import short; print(short('tiny'), short('module:mine:tiny'))"
    assert run("-c", code).stdout == "tiny module:mine:tiny\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("tuning.search", "focl", "--dry-run"),
            "There is no method 'focl'; did you mean 'focal'?",
        ),
        (
            ("tuning.search", "ce", "--dataset", "stripe", "--dry-run"),
            "There is no data set 'stripe'; did you mean 'stripes'?",
        ),
        (
            ("tuning.export", "--sweep", "x", "--to", "argfil"),
            "There is no format 'argfil'; did you mean 'argfile'?",
        ),
        (
            ("tuning.search", "ce", "--dataset", "stripes", "--resize", "8", "--dry-run"),
            "stripes is no folder of images, and --resize is for these",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_names_that_are_added_are_offered(run: Run, words: tuple[str, ...], sentence: str) -> None:
    done = run("-m", *words)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_one_that_cannot_be_imported_is_one_sentence_and_harms_no_other(
    run: Run, tmp_path: Path
) -> None:
    add(tmp_path, "broken", "[kd_search.methods]\nlost = not_there.lost\n")
    words = ("-m", "tuning.search", "--preset", "laptop", "--dry-run")
    lost = run(*words, "lost", PYTHONPATH=str(tmp_path))
    assert lost.returncode == 2
    assert lost.stderr.startswith(
        "error: lost, which the package broken adds, cannot be imported (ModuleNotFoundError: "
    )
    assert "Traceback" not in lost.stderr
    fine = run("-m", "kd.backbones", "resnet8", PYTHONPATH=str(tmp_path))
    assert fine.returncode == 0, fine.stderr


def test_a_name_of_this_project_is_not_replaced(run: Run, tmp_path: Path) -> None:
    groups = ("methods", "ce"), ("backbones", "resnet8"), ("data", "digits")
    lines = [f"[kd_search.{group}]\n{name} = not_there:lost" for group, name in groups]
    add(tmp_path, "bold", "\n".join(lines))
    check = "from kd.testing import check_method; check_method('ce', 'resnet8'); "
    check += "from kd.data import open_dataset; print(len(open_dataset('digits').train))"
    done = run("-c", check, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("1297")


@pytest.mark.parametrize("group", ["methods", "data", "formats"])
def test_what_is_not_what_its_group_asks_for_is_one_sentence(
    run: Run, tmp_path: Path, group: str
) -> None:
    value = "odd" if group == "methods" else "odd.config:FIVE"
    add(tmp_path, "odd", f"[kd_search.{group}]\nfive = {value}\n", config="FIVE = 5\n")
    done = run("-m", *WORDS[group], PYTHONPATH=str(tmp_path))
    assert done.returncode == 2, done.stderr
    assert "error: five, which the package odd adds, " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("group", "code", "why"),
    [
        ("methods", "raise SystemExit(3)", "cannot be imported (SystemExit: 3)"),
        ("backbones", "import not_there", "cannot be imported (ModuleNotFoundError: No module"),
        ("data", "def made(root): raise OSError('lost')", "fails (OSError: lost)"),
        ("data", "def made(root): pass", "gives NoneType, which has no method `check`; mend it"),
        ("formats", "def made(config): raise ValueError('odd')", "fails (ValueError: odd)"),
        ("formats", "def made(config): pass", "gives NoneType, and a format gives the text"),
    ],
)
def test_one_that_fails_is_one_sentence(
    run: Run, tmp_path: Path, group: str, code: str, why: str
) -> None:
    value = "odd.within" if group == "methods" else "odd.within:made"
    add(tmp_path, "odd", f"[kd_search.{group}]\nfive = {value}\n", within=code)
    done = run("-m", *WORDS[group], PYTHONPATH=str(tmp_path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"five, which the package odd adds, {why}" in done.stderr
    assert "Traceback" not in done.stderr


DATA = """
from kd.config import AugmentConfig
class made:
    def __init__(self, root): pass
    def augment(self): return AugmentConfig()
    check = verify = open = augment
"""
GOOD = "from kd.methods.ce.config import Config"


@pytest.mark.parametrize(
    ("modules", "why"),
    [
        ({"loss": "x = ("}, "cannot be imported (SyntaxError: '(' was never closed"),
        ({"loss": "METHODS = 1"}, "has no `METHOD` in its loss; mend it"),
        ({"space": "def domains(stages): return {'a': 3}"}, "has a space in which a is 3; mend it"),
        ({"space": "def domains(stages): return stages.x"}, "fails (AttributeError: 'int' object"),
        ({"space": "five = 5"}, "fails (AttributeError: module 'odd.space' has no attribute"),
    ],
    ids=str,
)
def test_no_part_of_a_method_is_left_to_a_trial_to_find_wrong(
    run: Run, tmp_path: Path, modules: dict[str, str], why: str
) -> None:
    """There it would have failed for good, with all trials of a sweep that goes on."""
    space = (Path(__file__).parents[2] / "search_spaces" / "ce.py").read_text()
    whole = {"config": GOOD, "space": space, "loss": "from kd.methods.ce.loss import METHOD"}
    add(tmp_path, "odd", "[kd_search.methods]\nfive = odd\n", **(whole | modules))
    done = run("-m", *DRY, "five", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"five, which the package odd adds, {why}" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_typed_is_passed_over(run: Run, tmp_path: Path) -> None:
    names = ("--resume", "../x", "module:x:y", "a b", "é", ".")
    lines = "".join(f"{name} = odd\n" for name in names)
    add(tmp_path, "odd", f"[kd_search.methods]\n{lines}")
    code = "from kd.plugins import METHODS, added; print(*added(METHODS))"
    assert run("-c", code, PYTHONPATH=str(tmp_path)).stdout == "\n"


def test_its_pace_is_measured_where_only_the_path_leads_to_it(run: Run) -> None:
    words = ("focal", "--backbone", "tiny", "--dataset", "stripes", "--set", "batch_size=32")
    done = run("-m", *DRY, *words, "--local", "--epochs", "2", "--trials", "2")
    assert done.returncode == 0, done.stderr
    assert "measured here: " in done.stdout


def test_other_code_of_what_is_added_is_another_version_of_its_package(
    run: Run, tmp_path: Path
) -> None:
    whole = {"config": GOOD, "space": "", "loss": "", "data": DATA}
    points = "[kd_search.methods]\nfive = odd\n[kd_search.data]\nsix = odd.data:made\n"
    add(tmp_path, "odd", points, **whole)
    code = """
from kd.config import TrainConfig
from kd.origin import Origin
for method, data in ("five", "digits"), ("ce", "six"), ("ce", "digits"):
    config = TrainConfig.paper(method, "resnet8", data)
    print(Origin.of("", config=config).versions.get("odd"))
"""
    before = run("-c", code, PYTHONPATH=str(tmp_path))
    assert before.returncode == 0, before.stderr
    (tmp_path / "odd" / "loss.py").write_text("five = 5")
    first, second, none = before.stdout.split()
    assert (first, none) == (second, "None")
    assert first not in run("-c", code, PYTHONPATH=str(tmp_path)).stdout
