"""Programs that tests need and Debian has: installed where this is root's machine."""

import os
import shutil
import subprocess
from functools import cache


@cache
def install(package: str) -> None:
    """Install the package, if that can be done; whoever needs it looks for it afterwards."""
    if os.getuid() or not shutil.which("apt-get"):
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", package]):
        subprocess.run(
            ["apt-get", "-q", *words],
            env=environment,
            capture_output=True,
            timeout=400,
            check=False,
        )
