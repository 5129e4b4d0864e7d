"""Headless Chromium for tests."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)

needs_chromium = pytest.mark.skipif(
    not CHROMIUM, reason="There is no Chromium here; install one (apt-get install chromium)."
)


def dump(folder: Path, address: str, *flags: str) -> tuple[str, list[str]]:
    """The page's DOM after its scripts have run, and the lines of its console."""
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--enable-logging=stderr", "--window-size=1600,1000"),
            *(f"--user-data-dir={folder / 'profile'}", *flags, "--dump-dom", address),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
