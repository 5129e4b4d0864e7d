"""`ray up ray_cluster.yaml && python -m tuning.search lsskd` on a fake AWS region, and its faults.

The tests are one story, in order: the cluster of the first is that of the last.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab
from lan import wait_for
from region import Region
from sweeps import Watch, check_complete, running, trials

LINE = "ray up -y ray_cluster.yaml && python -m tuning.search lsskd --preset laptop"
SWEEP = (
    "python -m tuning.search lsskd --preset laptop --scheduler none --set batch_size=4 "
    "--warm-start none"
)
"""The same trials whatever was searched here before."""
TRIALS, EPOCHS = 4, 20
RESULT = ("best_config.yaml", "student.safetensors", "report.html", "trials.parquet", "study.log")


@pytest.fixture(scope="module")
def region(lab: Lab) -> Iterator[Region]:
    # Two machines of two cores: as a person does who may not spend more.
    lab.type("sed -i 's/max_workers: 8/max_workers: 2/' ray_cluster.yaml")
    region = Region(lab.lan, lab.image)
    yield region
    region.close()


@pytest.fixture
def storage(lab: Lab) -> Path:
    """The cluster's storage, as the tests see it."""
    return lab.shared


def actors(machine) -> int:
    """How many trial actors the machine ever started."""
    found = machine.run(
        "grep -l actor_name:ImplicitFunc /tmp/ray/session_latest/logs/worker-*", None
    )
    return sum(line.endswith(".out") for line in found.splitlines())


def busy(machine) -> bool:
    """Whether a trial is on the machine; Ray ends one that is drained, once it is idle."""
    # Not a pattern that the shell that looks for it has too.
    return machine.alive and "ray" in machine.run("pgrep -fa '[r]ay::ImplicitFunc'", code=None)


def session(head) -> str:
    """The Ray that runs on the head: its name changes when it is started again."""
    return head.run("readlink /tmp/ray/session_latest")


def search(lab: Lab, name: str, epochs: int = EPOCHS):
    """Start a sweep whose every trial trains to the end, as a person would, in a terminal."""
    flags = f"--name {name} --trials {TRIALS} --epochs {epochs}"
    return lab.laptop.start(f"cd ~/kd-search && exec {SWEEP} {flags}", start_new_session=True)


def test_the_line_from_nothing_to_a_result_on_the_laptop(lab, region, storage):
    said = lab.type(LINE, timeout=500)
    (name,) = lab.type("ls runs").split()
    assert f"The result is in runs/{name}" in said
    assert "Traceback" not in said
    told = said.partition("16/16")[2]
    assert told
    assert "kd-storage" not in told, "all that is to be typed next holds on the laptop"
    assert "http://127.0.0.1:5000/#/experiments/" in said
    exported = next(line for line in said.splitlines() if "tuning.export" in line)
    assert "method: lsskd" in lab.type(exported)
    for file in RESULT:
        lab.type(f"test -s runs/{name}/{file}")
    found = trials(storage / name)
    assert len(found) == 16
    assert all(t.state.name in ("COMPLETE", "PRUNED") for t in found)
    assert actors(region.head()) == 0
    assert sum(map(actors, region.workers())) > 0
    assert all(region.instances[worker.name]["spot"] for worker in region.workers())


def test_the_token_stays_with_its_owner(lab, region):
    assert region.head().run("stat -c %a ~/.ray/auth_token").strip() == "600"
    lab.laptop.run("test ! -e ~/.ray/auth_token")
    address = "http://127.0.0.1:8265/api/version"
    status = region.head().run(f"curl -s -o /dev/null -w '%{{http_code}}' {address}")
    assert status == "401"
    outside = region.head().ip
    region.workers()[0].run(
        f"! curl -s -m 3 http://{outside}:8265/ && ! curl -s -m 3 {outside}:5000"
    )


def test_mlflow_is_seen_from_the_laptop_through_ssh(lab, region):
    lab.type(
        "(timeout 60 ray dashboard ray_cluster.yaml --port 5000 --remote-port 5000 "
        "> /dev/null 2>&1 &);"
        "timeout 60 sh -c 'until curl -fs http://127.0.0.1:5000/health; do sleep 1; done'"
    )


def test_a_second_ray_up_and_a_reclaimed_machine_and_a_dead_laptop_lose_nothing(
    lab, region, storage
):
    process, watch = search(lab, "faults"), Watch(storage / "faults")
    wait_for(lambda: running(storage / "faults", 2), "trials are running", 300)
    ray = session(region.head())
    up = lab.laptop.start("cd ~/kd-search && ray up -y ray_cluster.yaml")
    wait_for(lambda: running(storage / "faults", 4), "trials go on", 300)

    region.reclaim(region.workers()[0])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    said = lab.type("python -m tuning.search --attach faults", timeout=600)
    assert "The result is in runs/faults" in said
    check_complete(storage / "faults", TRIALS, EPOCHS)
    assert watch.repeated() == 0

    said, _ = up.communicate(timeout=300)
    assert up.returncode == 0, said
    assert session(region.head()) == ray, "the second `ray up` left the running Ray alone"


def test_trials_leave_a_machine_that_ec2_says_it_takes_back(lab, region, storage):
    """Before it is gone, and none is trained twice of what it told."""
    epochs = 3 * EPOCHS
    process, watch = search(lab, "noticed", epochs), Watch(storage / "noticed")
    wait_for(lambda: running(storage / "noticed", 2), "trials are running", 300)
    wait_for(lambda: any(map(busy, region.workers())), "a machine has trials", 60)
    machine = next(filter(busy, region.workers()))
    region.notify(machine)
    wait_for(lambda: not busy(machine), "its trials have left", 60)
    assert all(t.state.name == "RUNNING" for t in trials(storage / "noticed")), "in their midst"
    region.reclaim(machine)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    check_complete(storage / "noticed", TRIALS, epochs)
    assert watch.repeated() == 0


def test_the_heads_ray_is_killed_and_brought_back(lab, region, storage):
    process, watch = search(lab, "headless"), Watch(storage / "headless")
    wait_for(lambda: running(storage / "headless", 3), "trials are running", 300)
    region.head().run("kill -9 $(pgrep -x gcs_server)")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "does not answer; if it died, type `ray up ray_cluster.yaml`" in said.splitlines()[-1]

    said = lab.type("python -m tuning.search lsskd", code=2, timeout=120)
    assert "does not answer" in said.splitlines()[-1], "a dead head is said, not waited for"

    lab.type("ray up -y ray_cluster.yaml")
    lab.type("python -m tuning.search --resume headless", timeout=400)
    check_complete(storage / "headless", TRIALS, EPOCHS)
    assert watch.repeated() == 0
    lab.type("test -s runs/headless/best_config.yaml")


def test_ray_down_leaves_no_machine(lab, region):
    lab.type("ray down -y ray_cluster.yaml")
    alone = {"laptop", "api"}
    wait_for(
        lambda: {m.name for m in lab.lan.machines.values() if m.alive} == alone, "all are off", 120
    )
    said = lab.type("python -m tuning.search lsskd --preset laptop --trials 1 --epochs 1")
    assert "No cluster that was started from here is up, so this machine searches alone." in said
