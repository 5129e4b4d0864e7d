"""The Dockerfile, read without Docker: what it copies is there, and its commands are those told."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STEPS = [
    line.split(None, 1)
    for line in re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
    if line.strip()
]
PAGES = ("README.md", "docs/container.md")
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))


def of(name):
    """What stands behind each instruction of this name."""
    return [rest.strip() for step, rest in STEPS if step == name]


def sources():
    for rest in of("COPY"):
        words = [word for word in rest.split() if not word.startswith("--")]
        yield from words[:-1]


def ignored(path):
    """Whether .dockerignore leaves a file out: the last line of it or of a folder of it decides."""
    left_out = False
    parts = Path(path).parts
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip().removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        names = parts if pattern.startswith("**/") else above
        if any(fnmatch(name, pattern.removeprefix("**/")) for name in names):
            left_out = not line.startswith("!")
    return left_out


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not in this environment.")
def test_hadolint_finds_nothing():
    done = subprocess.run([HADOLINT, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_what_it_copies_is_there_and_reaches_it():
    assert set(sources()) >= {"kd", "search_spaces", "tuning", "clusters", "requirements.txt"}
    for source in sources():
        path = ROOT / source
        assert path.exists(), source
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        files = [p.relative_to(ROOT) for p in files if "__pycache__" not in p.parts]
        assert files, source
        assert not [p for p in files if ignored(p) and ".egg-info" not in str(p)]


def test_what_the_packages_are_built_of_is_copied():
    """A file that setup reads, the packages, and where their symbolic links lead."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    packages = [p.rstrip("*") for p in tables["setuptools"]["packages"]["find"]["include"]]
    assert {*packages, PROJECT["readme"]} <= set(sources())
    for package in packages:
        for path in (ROOT / package).rglob("*"):
            if path.is_symlink():
                assert path.resolve().relative_to(ROOT).parts[0] in set(sources())


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", "runs/mlflow.db", "data/x.npz", "kd/__pycache__/a.pyc",
     "tests/conftest.py", "secrets.env", "kd_search.egg-info/PKG-INFO"],
)  # fmt: skip
def test_nothing_else_is_sent_to_be_built(path):
    assert ignored(path)


def test_its_python_is_that_of_clusters_and_one_that_the_project_takes():
    [base] = of("FROM")
    found = re.fullmatch(r"python:(\d+\.\d+)-slim", base)
    assert found
    assert found[1] in SpecifierSet(PROJECT["requires-python"])
    for name in ("ray_cluster.yaml", "clusters/onprem.yaml"):
        setup = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["setup_commands"]
        assert re.findall(r"--python (\d+\.\d+)", " ".join(setup)) == [found[1]]


def test_it_installs_the_pinned_set_and_extras_that_are_there():
    [libraries] = [rest for rest in of("RUN") if "--requirements pyproject.toml" in rest]
    assert "--constraints requirements.txt" in libraries
    extras = set(re.findall(r"--extra (\S+)", libraries))
    assert extras <= set(PROJECT["optional-dependencies"])
    steps = [name if name != "RUN" else rest for name, rest in STEPS]
    code = next(n for n, (name, rest) in enumerate(STEPS) if name == "COPY" and "tuning" in rest)
    assert steps.index(libraries) < code, "a change of the code would install all libraries anew"


def test_who_runs_it_is_not_root_and_may_write_where_sweeps_are_kept():
    assert of("USER") == ["1000"]
    [volume] = of("VOLUME")
    assert Path(volume) == Path(of("WORKDIR")[-1]) / "runs"
    assert STEPS.index(["USER", "1000"]) > max(n for n, (s, _) in enumerate(STEPS) if s == "RUN")


def told():
    """The commands of docker that the pages and the file itself tell, as words."""
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES} | {"": TEXT}
    for name, text in texts.items():
        lines = re.findall(r"^(?: {4}|# {5})(docker .*)$", text, re.MULTILINE)
        assert lines, name
        for line in lines:
            for command in line.split("&&"):
                yield shlex.split(command.strip(), comments=True)


def test_the_commands_of_docker_that_are_told_fit_the_file():
    arguments = {rest.partition("=")[0] for rest in of("ARG")}
    volumes, commands, tags = set(of("VOLUME")), {*PROJECT["scripts"], "python"}, set()
    for words in told():
        named = [words[n + 1] for n, word in enumerate(words) if word == "--build-arg"]
        assert {one.partition("=")[0] for one in named} <= arguments
        mounted = [words[n + 1] for n, word in enumerate(words) if word == "-v"]
        assert {one.split(":")[1] for one in mounted} <= volumes
        if words[1] == "build":
            tags.add(words[words.index("-t") + 1])
    runs = [words for words in told() if words[1] == "run"]
    assert len(runs) >= 4
    for words in runs:
        assert "--shm-size" in words
        image = next(n for n, word in enumerate(words) if word in tags)
        assert words[image + 1] in commands


def test_without_a_command_it_shows_the_help_of_the_search():
    assert json.loads(of("CMD")[-1]) == ["kd-search", "--help"]
    [entry] = map(json.loads, of("ENTRYPOINT"))
    [packages] = [rest for rest in of("RUN") if "apt-get install" in rest]
    assert {entry[0], "bash", "wget", "procps"} <= set(packages.split())
