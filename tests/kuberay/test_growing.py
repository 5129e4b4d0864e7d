"""A sweep on Kubernetes is planned for what its RayCluster may grow to.

That is read by the part of Ray that reads it on a cluster; the answers of Kubernetes are ours.
"""

import pytest
from ray.autoscaler._private.kuberay import node_provider
from the_file import cluster, container, worker

from tuning.engine import growth


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
