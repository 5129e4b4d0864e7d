"""Kubernetes and KubeRay accept clusters/kuberay.yaml, and a slip in it is seen."""

import pytest
import yaml
from the_file import FILE, read, refusals


def reached(one: dict, place: str) -> tuple[dict, str]:
    """What holds the field at `place`, and its name."""
    *above, last = place.split(".")
    for step in above:
        one = one[int(step) if step.isdigit() else step]
    return one, last


@pytest.mark.parametrize("kind", ["ConfigMap", "PersistentVolumeClaim", "Pod", "RayJob"])
def test_kubernetes_accepts_each_object(kind):
    assert refusals(read()[kind]) == []


def test_the_file_is_one_list_of_these_objects():
    whole = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    objects = whole.pop("items")
    assert whole == {"apiVersion": "v1", "kind": "List"}
    assert len(objects) == len(read()) == 4


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
    within, last = reached(one, place)
    within[last] = value
    assert refusals(one) != []


@pytest.mark.parametrize("place", ["headGroupSpec", "workerGroupSpecs.0.groupName"])
def test_what_must_be_there_is_missed(place):
    one = read()["RayJob"]
    within, last = reached(one, f"spec.rayClusterSpec.{place}")
    del within[last]
    assert refusals(one) != []
