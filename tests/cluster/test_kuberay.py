"""A worker of clusters/kuberay.yaml is told to go: with a real Ray, in pods that are namespaces."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
POD = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
MISSING = [tool for tool in ("unshare", "nsenter", "pgrep") if shutil.which(tool) is None]
DRIVER = """
import ray
from ray.exceptions import ActorDiedError

@ray.remote(num_cpus=1)
class Trial:
    def begin(self): pass
    def train(self):
        import time
        time.sleep(600)

ray.init(log_to_driver=False)
trial = Trial.remote()
ray.get(trial.begin.remote())
print("begun", flush=True)
try:
    ray.get(trial.train.remote())
except ActorDiedError as error:
    print("taken back" if error.preempted else "crashed", flush=True)
"""

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("KD_TEST_CLUSTER") != "1", reason="`make test-cluster` starts clusters"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="a pod is a namespace, which root alone makes"),
    pytest.mark.skipif(bool(MISSING), reason=f"the pods need {', '.join(MISSING)}"),
]


def free() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        return one.getsockname()[1]


@pytest.fixture
def home():
    """Where the pods are at home, with a short path, as Ray's sockets lie below it."""
    folder = Path(tempfile.mkdtemp(prefix="kd-"))
    (folder / "clusters").symlink_to(ROOT / "clusters")
    objects = yaml.safe_load((ROOT / "clusters" / "kuberay.yaml").read_text("utf-8"))["items"]
    for name in ("work.sh", "leave.sh"):
        (folder / name).write_text(objects[0]["data"][name].replace("-lt 100", "-lt 5"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class Pods:
    """A head without a core, and workers of one, as KubeRay starts them; all end with the test."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free()
        self.started: list[subprocess.Popen] = []
        self.environment = {
            "HOME": str(home),
            "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
            "RAY_ADDRESS": f"127.0.0.1:{self.port}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }
        self.start(f"--head --num-cpus=0 --port={self.port} --include-dashboard=false", "head")

    def start(self, how: str, name: str) -> subprocess.Popen:
        rest = f"--dashboard-agent-listen-port={free()} --object-store-memory=100000000 --block"
        ray = f"ray start {how} --num-gpus=0 --temp-dir={self.home}/{name} {rest}"
        with (self.home / f"{name}.log").open("w") as log:
            pod = subprocess.Popen(
                [*POD, "bash", str(self.home / "work.sh")],
                env={**self.environment, "KUBERAY_GEN_RAY_START_CMD": ray},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.started.append(pod)
        return pod

    def tell_to_go(self, pod: subprocess.Popen) -> None:
        """What Kubernetes does first of all: the hook of the container, within it."""
        inside = subprocess.check_output(["pgrep", "-P", str(pod.pid)], text=True).strip()
        subprocess.run(
            ["nsenter", "-t", inside, "-p", "-m", "bash", str(self.home / "leave.sh")],
            env=self.environment,
            timeout=60,
            check=False,
        )

    def end(self) -> None:
        for pod in self.started:
            pod.kill()
            pod.wait()


def test_a_worker_that_is_told_to_go_has_not_crashed(home):
    pods = Pods(home)
    try:
        worker = pods.start(f"--address=127.0.0.1:{pods.port} --num-cpus=1", "worker")
        until = time.monotonic() + 60
        while "Ray runtime started" not in (home / "worker.log").read_text():
            assert time.monotonic() < until, (home / "worker.log").read_text()
            time.sleep(0.5)
        with subprocess.Popen(
            [sys.executable, "-c", DRIVER], env=pods.environment, stdout=subprocess.PIPE, text=True
        ) as driver:
            assert driver.stdout.readline() == "begun\n"
            pods.tell_to_go(worker)
            assert worker.wait(timeout=30) is not None, "the pod ends with its Ray"
            assert "taken back" in driver.communicate(timeout=60)[0].splitlines()
    finally:
        pods.end()
