"""clusters/kuberay.yaml as Kubernetes reads it, and what Kubernetes would refuse of it.

The core objects are held against the schemas that Kubernetes publishes, a RayJob against KubeRay's
fields, both strictly: an unknown field is an error.
"""

import copy
import json
import re
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
FILE = ROOT / "clusters" / "kuberay.yaml"
SCHEMAS = Path(__file__).parent


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


@cache
def definitions() -> dict:
    core = json.loads((SCHEMAS / "core.json").read_text(encoding="utf-8"))["$defs"]
    kuberay = yaml.safe_load((SCHEMAS / "fields.yaml").read_text(encoding="utf-8"))
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
