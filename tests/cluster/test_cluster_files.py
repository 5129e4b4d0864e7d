"""Both cluster files, checked without a network: Ray's schema, and EC2's own idea of a request."""

import os
import subprocess
from pathlib import Path

import boto3
import pytest
import yaml
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
FILES = ("ray_cluster.yaml", "clusters/onprem.yaml")


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def check(config: dict) -> dict:
    """What Ray makes of the file; it raises for what its schema does not allow."""
    prepared = prepare_config(config)
    for kind in prepared["available_node_types"].values():
        kind.setdefault("resources", {})  # `ray up` asks AWS for them
    validate_config(prepared)
    return prepared


def refusals(node: dict) -> str:
    """What EC2's RunInstances would refuse of a node_config; "" if nothing."""
    ec2 = boto3.client("ec2", "us-west-2", aws_access_key_id="x", aws_secret_access_key="x")
    model = ec2.meta.service_model
    shape = model.operation_model("RunInstances").input_shape
    request = {"MinCount": 1, "MaxCount": 1, **node}
    report = ParamValidator().validate(request, shape).generate_report()
    known = node["InstanceType"] in model.shape_for("InstanceType").enum
    return report if known else f"{report} no instance type {node['InstanceType']}"


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_file(name):
    check(read(name))


def test_ec2_accepts_every_machine_of_the_aws_file():
    for kind in read("ray_cluster.yaml")["available_node_types"].values():
        assert refusals(kind["node_config"]) == ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("InstnceType", "g5.xlarge"),
        ("InstanceType", "g5.99xlarge"),
        ("InstanceMarketOptions", "spot"),
    ],
)
def test_a_slip_in_a_machine_is_seen(key, value):
    node = read("ray_cluster.yaml")["available_node_types"]["gpu_spot"]["node_config"]
    assert refusals({**node, key: value}) != ""


@pytest.mark.parametrize("name", FILES)
def test_every_mounted_path_exists(name):
    mounts = read(name)["file_mounts"]
    assert mounts
    for source in mounts.values():
        assert (ROOT / source).exists(), source


def test_a_cluster_costs_nothing_that_was_not_asked_for():
    config = check(read("ray_cluster.yaml"))
    head, worker = (config["available_node_types"][name] for name in ("head", "gpu_spot"))
    assert head["resources"] == {"CPU": 0}, "no trial on the head"
    assert "InstanceMarketOptions" not in head["node_config"], "the head is on demand"
    assert worker["min_workers"] == 0
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert config["idle_timeout_minutes"] == 5
    assert config["provider"]["cache_stopped_nodes"] is False


@pytest.mark.parametrize("name", FILES)
def test_only_the_holder_of_the_key_gets_in(name):
    config = read(name)
    assert any("RAY_AUTH_MODE=token" in line for line in config["setup_commands"])
    commands = " ".join(config["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in commands
    assert "mlflow server --host 127.0.0.1" in commands
    assert "0.0.0.0" not in commands


@pytest.mark.parametrize("name", FILES)
def test_a_second_ray_up_leaves_a_running_ray_alone(name):
    start, *_ = read(name)["head_start_ray_commands"]
    assert start.startswith("ray health-check > /dev/null 2>&1 || {")
    assert start.rstrip().endswith("}")


def told(tmp_path, answers):
    """What notice.sh typed where curl ends so, one time after another, and then always as last."""
    folder, typed = tmp_path / "bin", tmp_path / "typed"
    folder.mkdir()
    typed.touch()
    (tmp_path / "answers").write_text("".join(f"{code}\n" for code in answers))
    # A proxy that the shell names never reaches what answers on the machine alone.
    took = f"""[ "$1 $2" = "--noproxy *" ] || exit 5
a={tmp_path}/answers; code=$(head -n 1 $a)
[ $(wc -l < $a) = 1 ] || sed -i 1d $a
exit $code"""
    programs = {
        "curl": took,
        "ray": f'echo ray "$1" >> {typed}',
        "sleep": f"echo sleep >> {typed}",
        "pgrep": f"[ $(wc -l < {typed}) -lt 9 ]",
    }
    for name, does in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    script = ROOT / "clusters" / "notice.sh"
    subprocess.run(["sh", script], env=environment, check=True, timeout=60)
    return typed.read_text().splitlines()


def test_where_no_ec2_answers_nothing_is_told_while_ray_is_up(tmp_path):
    assert set(told(tmp_path, [7])) == {"sleep"}


def test_a_notice_is_heard_where_ec2_did_not_answer_for_a_while(tmp_path):
    refused, token, none, silent, notice = [7, 7], [0], [22], [28, 28], [0]
    answers = refused + token + none + silent + token + notice
    assert told(tmp_path, answers) == ["sleep", "sleep", "sleep", "ray drain-node"]
