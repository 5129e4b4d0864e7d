"""`ray up clusters/onprem.yaml` and a sweep on three Linux machines that are reached by ssh."""

from functools import partial

import pytest
import yaml
from lab import ROOT, Lab
from lan import Machine, wait_for
from sweeps import check_complete

FILE = "clusters/onprem.yaml"


def ended(machine: Machine) -> bool:
    return not machine.run("pgrep -x raylet", None)


@pytest.fixture(scope="module")
def machines(lab: Lab):
    provider = yaml.safe_load((ROOT / FILE).read_text())["provider"]
    addresses = [provider["head_ip"], *provider["worker_ips"]]
    return [
        lab.lan.add(f"machine{i}", ip, KEY=lab.lan.key, HOME="/home/ubuntu", BAKE=lab.image)
        for i, ip in enumerate(addresses)
    ]


def test_the_line_on_ones_own_machines(lab, machines):
    search = "python -m tuning.search lsskd --preset laptop --trials 4 --epochs 6 --scheduler none"
    said = lab.type(
        f"ray up -y {FILE} && {search} --name mine --cpus-per-trial 2 --cluster {FILE}", timeout=400
    )
    assert "The result is in runs/mine" in said
    check_complete(lab.shared / "mine", 4, 6)
    lab.type("test -s runs/mine/student.safetensors")
    actors = [
        machine.run("grep -l actor_name:ImplicitFunc /tmp/ray/session_latest/logs/worker-*", None)
        for machine in machines
    ]
    assert not actors[0], "no trial on the head"
    assert actors[1], "the first worker trained"
    assert actors[2], "the second worker trained"


def test_ray_down_ends_ray_and_leaves_the_machines(lab, machines):
    lab.type(f"ray down -y {FILE}")
    for machine in machines:
        assert machine.alive
        wait_for(partial(ended, machine), f"{machine.name} without Ray", 150)
