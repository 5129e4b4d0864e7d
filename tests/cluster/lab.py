"""The lab: a laptop with this project on it, and machines that it can start clusters on."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from lan import Lan

ROOT = Path(__file__).parents[2]
TOOLS = ("unshare", "nsenter", "ip", "rsync", "curl")
COPIED = ("kd", "search_spaces", "tuning", "clusters", "ray_cluster.yaml", "requirements.txt")
HERE = "~/kd-search"
"""The project on the laptop."""
IMPATIENT = "RAY_gcs_rpc_server_reconnect_timeout_s=10"
"""A machine's Ray ends when it has missed its head for so many seconds; a minute by default."""


def missing() -> str:
    """Why the lab cannot run here; "" if it can."""
    if os.environ.get("KD_TEST_CLUSTER") != "1":
        return "real clusters are started by `make test-cluster`"
    if os.geteuid() != 0:
        return "the lab's machines are namespaces, which root alone can make"
    tools = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not Path("/usr/sbin/sshd").exists():
        tools.append("sshd")
    if tools:
        return f"the lab needs {', '.join(tools)}"
    if importlib.util.find_spec("moto") is None:
        return "the lab needs moto: pip install 'kd-search[cluster]'"
    return ""


class Lab:
    """A `Lan` whose laptop holds the project, and what every machine of a cluster comes with."""

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        binaries = Path(sys.prefix) / "bin"
        uv = shutil.which("uv", path=str(binaries)) or shutil.which("uv")
        # What the first `ray up` on a real machine would download; there is no internet in here.
        self.image = f"""
            mkdir -p .local/bin kd-storage .cache
            ln -s {uv} .local/bin/uv; ln -s {sys.prefix} .venv
            echo 'export UV_OFFLINE=1 RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1' >> .bashrc
            echo 'export {IMPATIENT}' >> .bashrc
            mount --bind {shared} kd-storage
        """
        project = " ".join(str(ROOT / name) for name in COPIED)
        bake = f"mkdir kd-search && cp -r {project} kd-search/"
        keep = [sys.prefix, sys.base_prefix, str(ROOT), str(shared)]
        self.lan = Lan(keep, bake)
        self.laptop = self.lan.laptop
        self.laptop.env |= {
            "PATH": f"{binaries}:{self.laptop.env['PATH']}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }

    def type(self, command: str, code: int | None = 0, **more) -> str:
        """What a person's command says, typed in the project's folder on the laptop."""
        return self.laptop.run(f"cd {HERE} && {command}", code, **more)
