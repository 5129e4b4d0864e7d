"""A person's own files that have the names of modules: told in one sentence, or left alone."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]


def run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder, env=env)


def put(folder: Path, name: str) -> Path:
    """A file, or a package, of a person's own."""
    path = folder / name
    if not name.endswith(".py"):
        path.mkdir()
        path /= "__init__.py"
    path.write_text("print('mine')\n")
    return path


@pytest.mark.parametrize("module", ["tuning.search", "tuning.best", "tuning.ui"])
@pytest.mark.parametrize("name", ["kd.py", "kd", "search_spaces", "yaml.py", "torch", "random.py"])
def test_what_hides_a_module_is_one_sentence(name, module, tmp_path):
    put(tmp_path, name)
    done = run(tmp_path, sys.executable, "-m", module, "--help")
    assert done.returncode == 2
    assert done.stdout == "", "it was not even imported"
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / name) in done.stderr
    assert "hides" in done.stderr
    assert "rename it" in done.stderr


def test_a_hidden_library_is_one_sentence_for_a_training_too(tmp_path):
    put(tmp_path, "yaml.py")
    done = run(tmp_path, sys.executable, "-m", "kd.train", "--help")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize("name", ["kd.py", "search_spaces", "numpy.py"])
def test_a_program_that_reads_a_configuration_is_told_by_an_importerror(name, tmp_path):
    put(tmp_path, name)
    script = tmp_path / "mine.py"
    script.write_text("from tuning import best_config\n")
    done = run(tmp_path, sys.executable, "mine.py")
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {tmp_path / name}")
    assert "hides" in last


def test_files_that_hide_nothing_are_left_alone(tmp_path):
    for name in ("types.py", "test.py", "mine.py", "sys.py", "torch.txt"):
        put(tmp_path, name) if name.endswith(".py") else (tmp_path / name).touch()
    for name in ("numpy", "kd", "search_spaces", "queue"):
        (tmp_path / name).mkdir()
    done = run(tmp_path, sys.executable, "-m", "tuning.search", "--help")
    assert done.returncode == 0, done.stderr


# -- the console commands --------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the project is installed, by pip, without what it depends on."""
    where = tmp_path_factory.mktemp("installed")
    source = where / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "kd", "search_spaces", "tuning"):
        (source / name).symlink_to(ROOT / name)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(where / "site")]
    done = run(where, *command, str(source), PIP_DISABLE_PIP_VERSION_CHECK="1")
    if "No module named" in done.stderr:
        pytest.skip("there is no pip or no setuptools here")
    assert done.returncode == 0, done.stderr
    return where / "site"


def test_every_command_has_a_name_that_works_beside_a_persons_own_files(installed, tmp_path):
    for name in ("kd.py", "tuning.py", "search_spaces", "torch.py", "yaml.py", "random.py"):
        put(tmp_path, name)
    assert sorted(SCRIPTS) == sorted(p.name for p in (installed / "bin").glob("kd-*"))
    for name in SCRIPTS:
        done = run(tmp_path, str(installed / "bin" / name), "--help", PYTHONPATH=str(installed))
        assert done.returncode == 0, done.stderr
        assert f"usage: {name} " in done.stdout


def test_a_command_by_its_name_trains(installed, tmp_path):
    put(tmp_path, "kd.py")
    text = "method: ce\nbackbone: resnet8\ndataset: digits\nsplit: {train_size: 50}\n"
    (tmp_path / "short.yaml").write_text(text)
    command = (str(installed / "bin" / "kd-train"), "short.yaml", "--epochs", "1")
    done = run(tmp_path, *command, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/train/short/student.safetensors").exists()


def test_a_search_by_its_name_trains_in_workers_that_look_elsewhere_too(installed, tmp_path):
    for name in ("kd.py", "tuning.py", "yaml.py"):
        put(tmp_path, name)
    flags = ("ce", "--local", "--trials", "1", "--epochs", "1", "--name", "own")
    done = run(tmp_path, str(installed / "bin" / "kd-search"), *flags, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs" / "own" / "best_config.yaml").exists()
