"""clusters/kuberay.yaml agrees with the files beside it: what is said twice is said alike."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from the_file import FILE, ROOT, cluster, container, head, pods, read, script, worker

from tuning.cluster.jobs import STORAGE


@cache
def on_aws() -> dict:
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))


def test_its_ray_is_the_pinned_one():
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert f"\nray=={cluster()['rayVersion']}\n" in pins


def test_one_image_is_written_once():
    images = {container(name)["image"] for name in pods()}
    assert images == {read()["ConfigMap"]["data"]["image"]}
    assert len(re.findall(r"(?m)^\s+(?:- )?image: &", FILE.read_text(encoding="utf-8"))) == 1


def test_it_costs_no_more_than_the_one_on_aws():
    aws = on_aws()
    (kind,) = (one for name, one in aws["available_node_types"].items() if name != "head")
    assert (worker()["minReplicas"], worker()["maxReplicas"]) == (
        kind["min_workers"],
        aws["max_workers"],
    )
    options = cluster()["autoscalerOptions"]
    assert options["idleTimeoutSeconds"] == 60 * aws["idle_timeout_minutes"]
    assert aws["available_node_types"]["head"]["resources"] == {
        "CPU": int(head()["rayStartParams"]["num-cpus"])
    }
    assert "nvidia.com/gpu" not in json.dumps(head())
    assert read()["RayJob"]["spec"]["shutdownAfterJobFinishes"] is True


def test_its_ports_are_those_of_the_one_on_aws():
    ports = {one["name"]: one["containerPort"] for one in container("head")["ports"]}
    starts = " ".join(on_aws()["head_start_ray_commands"])
    assert f"--head --port={ports['gcs-server']} " in starts
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert f"port-forward $head {ports['dashboard']}" in page


def test_nobody_gets_in_without_the_token():
    auth = cluster()["authOptions"]
    assert auth["mode"] == "token"
    assert any("RAY_AUTH_MODE=token" in line for line in on_aws()["setup_commands"])
    top = FILE.read_text(encoding="utf-8").partition("\napiVersion")[0]
    assert f"create secret generic {auth['secretName']} --from-literal=auth_token=" in top
    assert "serviceType" not in head(), "its service is for the cluster alone"


def test_all_pods_share_the_storage_that_a_sweep_is_sent_to():
    (claim,) = {
        volume["persistentVolumeClaim"]["claimName"]
        for spec in pods().values()
        for volume in spec["volumes"]
        if volume["name"] == "storage"
    }
    (place,) = {
        mount["mountPath"]
        for name in pods()
        for mount in container(name)["volumeMounts"]
        if mount["name"] == "storage"
    }
    assert claim == read()["PersistentVolumeClaim"]["metadata"]["name"]
    assert read()["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert place == STORAGE.replace("~", "/home/kd")
    assert f"kubectl cp kd-storage:{place}/" in FILE.read_text(encoding="utf-8")


def test_workers_start_with_mps_as_on_aws():
    (theirs,) = (line for line in on_aws()["worker_start_ray_commands"] if "mps.sh" in line)
    assert theirs.startswith("sh ~/")
    assert f"sh ~/clusters/{Path(theirs.split()[1]).name} " in script("work.sh")
    assert "$KUBERAY_GEN_RAY_START_CMD" in script("work.sh")


@pytest.mark.skipif(not (ROOT / "Dockerfile").exists(), reason="there is no image here")
def test_the_image_has_what_its_pods_need():
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "HOME=/home/kd" in image
    assert "clusters /home/kd/clusters" in image
    users = {spec["securityContext"]["runAsUser"] for spec in pods().values()}
    assert {int(number) for number in re.findall(r"^USER (\d+)$", image, re.MULTILINE)} == users
    assert "procps" in image, "leave.sh looks for Ray with pgrep"
