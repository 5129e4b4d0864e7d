"""Where a score was measured: the machine, the versions, the commit."""

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("torch", "ray", "optuna", "mlflow")


def environment() -> dict[str, str]:
    """Where a score was measured: the machine, versions, and the git commit of this folder."""
    found = {"machine": machine(), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return found
    return found | {"git_commit": commit.stdout.strip()}


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
