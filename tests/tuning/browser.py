"""Headless Chromium for tests."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from debian import install

needs_chromium = pytest.mark.usefixtures("chromium")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program; skips, with a sentence, where there can be none."""
    if found := _program():
        return found
    pytest.skip("There is no Chromium here; install one (apt-get install chromium).")


@cache
def _program() -> str:
    for attempt in range(2):
        names = ("chromium", "chromium-browser", "google-chrome")
        if found := next(filter(None, map(shutil.which, names)), ""):
            return found
        if not attempt:
            install("chromium")
    return ""


def dump(folder: Path, address: str, *flags: str) -> tuple[str, list[str]]:
    """The page's DOM after its scripts have run, and the lines of its console."""
    done = subprocess.run(
        [
            *(_program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--enable-logging=stderr", "--window-size=1600,1000"),
            *(f"--user-data-dir={folder / 'profile'}", *flags, "--dump-dom", address),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
