"""The scripts of clusters/kuberay.yaml, run by bash: what they would do in a pod."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from the_file import container, pods, read, script

from kd.cli import read_flags
from tuning.cluster.jobs import STORAGE
from tuning.records.request import Flags

SCRIPTS = ("search.sh", "work.sh", "leave.sh")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_one_for_bash(name):
    done = subprocess.run(["bash", "-n"], input=script(name), text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_script_that_is_none_is_seen():
    assert subprocess.run(["bash", "-n"], input="while true; do", text=True).returncode != 0


def test_each_script_is_where_it_is_run_from():
    commands = [
        shlex.split(read()["RayJob"]["spec"]["entrypoint"]),
        container("worker")["command"],
        container("worker")["lifecycle"]["preStop"]["exec"]["command"],
    ]
    (mounted,) = {
        mount["mountPath"]
        for name in pods()
        for mount in container(name)["volumeMounts"]
        if mount["name"] == "scripts"
    }
    assert commands == [["bash", f"{mounted}/{name}"] for name in SCRIPTS]
    assert set(SCRIPTS) < read()["ConfigMap"]["data"].keys()


def asked(tmp_path: Path) -> Flags:
    """What the head's script asks `tuning.search` for, with a Python that only tells its words."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    environment = {"HOME": str(tmp_path), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script("search.sh")],
        env=environment,
        text=True,
        capture_output=True,
        check=True,
    )
    flag, module, *words = done.stdout.splitlines()
    assert (flag, module, done.stderr) == ("-m", "tuning.search", "")
    return read_flags(Flags, words)


def test_the_head_begins_a_sweep_and_goes_on_with_it(tmp_path):
    flags = asked(tmp_path)
    assert flags.method == ("lsskd",)
    assert flags.name == read()["RayJob"]["spec"]["metadata"]["sweeps"]
    assert flags.options.storage == Path(STORAGE.replace("~", str(tmp_path)))
    begun = flags.options.storage / flags.name
    begun.mkdir(parents=True)
    (begun / "sweep.yaml").touch()
    again = asked(tmp_path)
    assert (again.resume, again.method, again.name) == ((flags.name,), (), None)
    assert again.options.storage == flags.options.storage


def left(tmp_path: Path, found: int, *, head: bool = True) -> list[str]:
    """What a worker that is told to go types, where pgrep finds a raylet `found` times.

    `head` says whether there is one that can be told.
    """
    (tmp_path / "found").write_text("+" * found)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("ray", "pkill", "sleep"):
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/typed\n')
    if not head:
        with (folder / "ray").open("a") as ray:
            ray.write("exit 1\n")
    (folder / "pgrep").write_text(
        f"#!/bin/sh\ntest -s {tmp_path}/found || exit 1\ntruncate -s -1 {tmp_path}/found; echo 1\n"
    )
    for file in folder.iterdir():
        file.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", script("leave.sh")], env=environment, check=True, timeout=60)
    return (tmp_path / "typed").read_text().splitlines()


DRAIN = "ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message told to go"
KILL = ["pkill -KILL -x raylet", "pkill -KILL -f ray start"]


def test_a_worker_that_is_told_to_go_is_drained_first(tmp_path):
    assert left(tmp_path, found=3) == [DRAIN, "sleep 1", "sleep 1", *KILL]


def test_a_worker_whose_ray_has_ended_is_gone_at_once(tmp_path):
    assert left(tmp_path, found=0) == KILL


def test_a_worker_without_a_head_is_gone_at_once(tmp_path):
    assert left(tmp_path, found=9, head=False) == [DRAIN, *KILL]


def test_a_worker_leaves_in_the_time_that_it_is_given():
    (waits,) = re.findall(r"-lt (\d+)", script("leave.sh"))
    assert pods()["worker"]["terminationGracePeriodSeconds"] - int(waits) >= 15
