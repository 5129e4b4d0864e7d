"""The version stands in pyproject.toml alone; the changelog ends, at its top, with the same."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
RELEASED = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", CHANGELOG, re.MULTILINE)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
HEAVY = ("torch", "ray", "mlflow", "optuna")


def test_the_newest_version_of_the_changelog_is_this_one():
    assert RELEASED[0][0] == VERSION
    numbers = [tuple(map(int, number.split("."))) for number, _ in RELEASED]
    assert numbers == sorted(set(numbers), reverse=True)
    assert [date for _, date in RELEASED] == sorted((date for _, date in RELEASED), reverse=True)


def test_the_changelog_is_in_the_form_that_it_names():
    """What is not released yet stands above all versions."""
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert [h for h in headings if h != "[Unreleased]"] == [f"[{n}] - {d}" for n, d in RELEASED]
    assert "[Unreleased]" not in headings[1:]
    assert set(re.findall(r"^### (.*)$", CHANGELOG, re.MULTILINE)) <= KINDS


def test_no_code_has_a_version_of_its_own():
    folders = ("kd", "search_spaces", "tuning", "clusters", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = [*files, *ROOT.glob("*.yaml"), ROOT / "Dockerfile", ROOT / "README.md"]
    own = re.compile(rf"kd.search.{{0,3}}{re.escape(VERSION)}|__version__ = ")
    named = [str(path) for path in texts if own.search(path.read_text("utf-8", errors="ignore"))]
    assert not named


def test_a_search_tells_the_versions_at_work_and_imports_none_of_them():
    code = (
        "import sys\n"
        "from tuning.search import main\n"
        "try:\n"
        "    main(['--version'])\n"
        "except SystemExit as end:\n"
        f"    assert not end.code\nassert not set({HEAVY!r}) & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    others = ", ".join(f"{name} {version(name)}" for name in ("torch", "ray", "optuna", "mlflow"))
    python = ".".join(map(str, sys.version_info[:3]))
    assert done.stdout == f"kd-search {version('kd-search')} (Python {python}, {others})\n"
