"""Where a score was measured: the machine, the versions, the commit."""

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("torch", "ray", "optuna", "mlflow")
PROJECT = "kd-search"


def environment() -> dict[str, str]:
    """Where a score was measured: the machine, versions, and the git commit of this folder."""
    found = {"machine": machine(), "python": platform.python_version(), **_versions(*_PACKAGES)}
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return found
    return found | {"git_commit": commit.stdout.strip()}


def told() -> str:
    """The versions of the project, of Python and of what it stands on, in a line.

    They are read from what is installed, and nothing is imported for it.
    """
    own = _versions(PROJECT).get(PROJECT, "of a folder, not installed")
    others = {"Python": platform.python_version(), **_versions(*_PACKAGES)}
    return f"{PROJECT} {own} ({', '.join(f'{name} {what}' for name, what in others.items())})"


def _versions(*packages: str) -> dict[str, str]:
    """The versions of those that are installed."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def machine() -> str:
    """This machine's cores and GPUs, found without importing torch: `2 × Intel …, NVIDIA H200`."""
    processor = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((_value(s) for s in lines if s.startswith("model name")), processor)
    gpus = [
        next(_value(s) for s in card.read_text().splitlines() if s.startswith("Model"))
        for card in Path("/proc/driver/nvidia/gpus").glob("*/information")
    ]
    return ", ".join([f"{os.cpu_count()} × {processor}", *gpus])


def _value(line: str) -> str:
    return line.partition(":")[2].strip()
