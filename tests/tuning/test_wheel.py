"""The wheel has all that the commands need, wherever they are typed."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT_OF = ("kd", "search_spaces", "tuning", "clusters", "pyproject.toml", "README.md")

Run = Callable[..., str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Type a command of the wheel's in a folder that has nothing of the project."""
    folder = tmp_path_factory.mktemp("wheel")
    source, site = folder / "source", folder / "site"
    source.mkdir()
    for name in BUILT_OF:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, source / name)
    uv = [sys.executable, "-m", "uv"]
    build = [*uv, "build", "--wheel", "--no-build-isolation", "--out-dir", str(folder)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    install = [*uv, "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    shutil.rmtree(source)
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import kd; print(kd.__path__[0])").startswith(str(site))
    return run


def command(run: Run, name: str, *words: str) -> str:
    """What a command prints: the file that the wheel's installation made of it."""
    where = run("-c", "import kd, pathlib; print(pathlib.Path(kd.__path__[0]).parent)").strip()
    return run(str(Path(where) / "bin" / name), *words)


def test_a_search_is_planned(run: Run) -> None:
    assert "lsskd" in command(run, "kd-search", "lsskd", "--preset", "laptop", "--dry-run")


def test_its_version_is_that_of_the_project(run: Run) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert command(run, "kd-search", "--version").startswith(f"kd-search {project['version']} (")


def test_files_that_are_no_modules_are_in_it(run: Run) -> None:
    text = command(run, "kd-search", "lsskd", "--preset", "laptop", "--slurm-print")
    assert text.startswith("#!/bin/bash")
    [mps] = [line.partition("=")[2] for line in text.splitlines() if line.startswith("mps=")]
    assert Path(mps).is_file()
    ablations = "import search_spaces; print(*__import__('pathlib').Path("
    assert "dtskd.yaml" in run(
        "-c", f"{ablations}search_spaces.__path__[0], 'ablations').iterdir())"
    )


def test_a_configuration_is_trained(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "ce.yaml"
    config.write_text("method: ce\nbackbone: resnet8\ndataset: digits\nepochs: 1\n")
    command(run, "kd-train", str(config), "--output", str(tmp_path / "out"))
    assert (tmp_path / "out" / "student.safetensors").exists()
    assert "resnet20" in command(run, "kd-backbones", "resnet20")
