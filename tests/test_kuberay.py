"""clusters/kuberay.yaml without Kubernetes: its schema, its scripts, and that it agrees with others.

The core objects are held against the schemas that Kubernetes publishes, a RayJob against KubeRay's
fields, both strictly: an unknown field is an error. What a cluster may grow to is read from it by
the part of Ray that reads it on a cluster.
"""

import copy
import json
import os
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from ray.autoscaler._private.kuberay import node_provider

from kd.cli import read_flags
from tuning.cluster.jobs import STORAGE
from tuning.engine import growth
from tuning.records.request import Flags

ROOT = Path(__file__).parents[1]
FILE = ROOT / "clusters" / "kuberay.yaml"
SCHEMAS = ROOT / "tests" / "kubernetes"
SCRIPTS = ("search.sh", "work.sh", "leave.sh")


def read() -> dict:
    """The objects of the file by kind, as Kubernetes gets them: with no alias between them."""
    objects = yaml.safe_load(FILE.read_text(encoding="utf-8"))["items"]
    return {one["kind"]: one for one in copy.deepcopy(json.loads(json.dumps(objects)))}


def cluster() -> dict:
    return read()["RayJob"]["spec"]["rayClusterSpec"]


def head() -> dict:
    return cluster()["headGroupSpec"]


def worker() -> dict:
    (group,) = cluster()["workerGroupSpecs"]
    return group


def pods() -> dict[str, dict]:
    """What stands in the specification of each pod, by the name of its only container."""
    specs = [read()["Pod"]["spec"], *(group["template"]["spec"] for group in (head(), worker()))]
    return {spec["containers"][0]["name"]: spec for spec in specs}


def container(name: str) -> dict:
    (one,) = pods()[name]["containers"]
    return one


def script(name: str) -> str:
    return read()["ConfigMap"]["data"][name]


# -- the schema ------------------------------------------------------------------------------------


@cache
def definitions() -> dict:
    core = json.loads((SCHEMAS / "core.json").read_text(encoding="utf-8"))["$defs"]
    kuberay = yaml.safe_load((SCHEMAS / "kuberay.yaml").read_text(encoding="utf-8"))
    return core | {name: an_object(fields) for name, fields in kuberay.items()}


def an_object(fields: dict) -> dict:
    return {
        "type": "object",
        "properties": {name.rstrip("!"): of_type(kind) for name, kind in fields.items()},
        "required": [name.rstrip("!") for name in fields if name.endswith("!")],
        "additionalProperties": False,
    }


def of_type(kind: str | list[str]) -> dict:
    if isinstance(kind, list):
        return {"enum": kind}
    if kind.endswith("*"):
        return {"type": "array", "items": of_type(kind.rstrip("*"))}
    if kind == "map":
        return {"type": "object", "additionalProperties": {"type": "string"}}
    if kind in ("string", "integer", "number", "boolean"):
        return {"type": kind}
    kind = re.sub(r"^core\.", "io.k8s.api.core.v1.", kind)
    kind = re.sub(r"^meta\.", "io.k8s.apimachinery.pkg.apis.meta.v1.", kind)
    return {"$ref": f"#/$defs/{kind}"}


def refusals(one: dict) -> list[str]:
    """What Kubernetes would refuse of an object."""
    kind = one["kind"]
    name = kind if kind == "RayJob" else f"io.k8s.api.core.v1.{kind}"
    validator = Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions()})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(one)]


@pytest.mark.parametrize("kind", ["ConfigMap", "PersistentVolumeClaim", "Pod", "RayJob"])
def test_kubernetes_accepts_each_object(kind):
    assert refusals(read()[kind]) == []


def test_the_file_is_one_list_of_these_objects():
    whole = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert {key: whole[key] for key in ("apiVersion", "kind")} == {"apiVersion": "v1", "kind": "List"}
    assert whole.keys() == {"apiVersion", "kind", "items"}
    assert len(whole["items"]) == len(read()) == 4


POD = "spec.rayClusterSpec.workerGroupSpecs.0.template.spec"


@pytest.mark.parametrize(
    ("kind", "place", "value"),
    [
        ("RayJob", "spec.shutdownAfterJobFinish", True),
        ("RayJob", "spec.backoffLimit", "3"),
        ("RayJob", "spec.rayClusterSpec.enableInTreeAutoscaling", "true"),
        ("RayJob", "spec.rayClusterSpec.authOptions.secret", "kd-search-token"),
        ("RayJob", "spec.rayClusterSpec.autoscalerOptions.version", "v3"),
        ("RayJob", "spec.rayClusterSpec.autoscalerOptions.idleTimeoutMinutes", 5),
        ("RayJob", "spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
        ("RayJob", "spec.rayClusterSpec.workerGroupSpecs.0.maxWorkers", 8),
        ("RayJob", f"{POD}.terminationGraceSeconds", 120),
        ("RayJob", f"{POD}.containers.0.lifecycle.preStop.command", ["sh"]),
        ("RayJob", f"{POD}.containers.0.volumeMounts.0.path", "/home"),
        ("RayJob", f"{POD}.containers.0.resources.limits", ["nvidia.com/gpu"]),
        ("RayJob", f"{POD}.volumes.0.persistentVolumeClaim.name", "kd-storage"),
        ("PersistentVolumeClaim", "spec.accessModes", "ReadWriteMany"),
        ("PersistentVolumeClaim", "spec.storageClass", "nfs"),
        ("ConfigMap", "data.number", 1),
        ("Pod", "spec.containers.0.images", "kd-search"),
    ],
)
def test_a_slip_is_seen(kind, place, value):
    one = read()[kind]
    *above, last = (int(step) if step.isdigit() else step for step in re.split(r"\.(?!com/)", place))
    within = one
    for step in above:
        within = within[step]
    within[last] = value
    assert refusals(one) != []


@pytest.mark.parametrize("place", ["headGroupSpec", "workerGroupSpecs.0.groupName"])
def test_what_must_be_there_is_missed(place):
    one = read()["RayJob"]
    within = one["spec"]["rayClusterSpec"]
    *above, last = (int(step) if step.isdigit() else step for step in place.split("."))
    for step in above:
        within = within[step]
    del within[last]
    assert refusals(one) != []


# -- what a cluster may grow to --------------------------------------------------------------------


@pytest.fixture
def on_kubernetes(tmp_path, monkeypatch):
    """In a pod of the cluster, as far as the planning of a sweep sees; yields its RayCluster."""
    found = {"metadata": {"name": "kd-search-x", "namespace": "here"}, "spec": cluster()}
    (tmp_path / "namespace").write_text("here")
    monkeypatch.setattr(growth, "_NAMESPACE", tmp_path / "namespace")
    monkeypatch.setattr(growth, "_CONFIG", tmp_path / "none.yaml")
    monkeypatch.setenv("RAY_CLUSTER_NAME", "kd-search-x")
    monkeypatch.setattr(
        node_provider.KubernetesHttpApiClient,
        "get",
        lambda client, path: {("here", "rayclusters/kd-search-x"): found}[client._namespace, path],
    )
    return found


NOW = [{"CPU": 0.0}]


def test_a_sweep_is_planned_for_all_workers_that_may_come(on_kubernetes):
    planned = growth.machines(NOW)
    limits = container("worker")["resources"]["limits"]
    assert len(planned) == worker()["maxReplicas"]
    for machine in planned:
        assert machine["CPU"] == int(limits["cpu"])
        assert machine["GPU"] == limits["nvidia.com/gpu"]


def test_without_an_autoscaler_a_cluster_is_what_it_is(on_kubernetes):
    on_kubernetes["spec"]["enableInTreeAutoscaling"] = False
    assert growth.machines(NOW) == NOW


def test_a_pod_that_may_not_ask_plans_for_what_there_is(on_kubernetes, monkeypatch):
    def refused(*_):
        raise OSError("403")

    monkeypatch.setattr(node_provider.KubernetesHttpApiClient, "get", refused)
    assert growth.machines(NOW) == NOW


# -- its scripts -----------------------------------------------------------------------------------


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


def test_a_worker_leaves_in_the_time_that_it_is_given():
    (waits,) = re.findall(r"-lt (\d+)", script("leave.sh"))
    assert pods()["worker"]["terminationGracePeriodSeconds"] - int(waits) >= 15


# -- and those beside it ---------------------------------------------------------------------------


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
