"""Writes core.json anew: what Kubernetes allows in the core objects of clusters/kuberay.yaml.

    uv run --no-project --with kubernetes-validate==1.37.0 tests/kuberay/renew.py

The package holds the schemas that Kubernetes publishes of its API (Apache-2.0), in a strict form
that allows no unknown field; kept of them are those of ROOTS and all that they refer to, without
descriptions.
"""

import json
import re
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

CORE = "io.k8s.api.core.v1."
ROOTS = ("ConfigMap", "PersistentVolumeClaim", "Pod", "PodTemplateSpec")


def bare(schema: Any, *, names: bool = False) -> Any:
    """`schema` without what explains it; `names` says that its keys are fields of an object."""
    if isinstance(schema, list):
        return [bare(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: bare(part, names=key == "properties")
        for key, part in schema.items()
        if names or not (key in ("description", "default") or key.startswith("x-"))
    }


def main() -> None:
    """Write the file beside this one."""
    number = version("kubernetes-validate")
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{number}-local-strict"
    known = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
    kept: dict[str, Any] = {}
    wanted = [CORE + name for name in ROOTS]
    while wanted:
        if (name := wanted.pop()) not in kept:
            kept[name] = bare(known[name])
            wanted += re.findall(r'"#/\$defs/([^"]+)"', json.dumps(kept[name]))
    lines = (f"{json.dumps(name)}: {json.dumps(kept[name])}" for name in sorted(kept))
    source = json.dumps(f"Kubernetes {number}, Apache-2.0; made by renew.py")
    text = f'{{"$comment": {source}, "$defs": {{\n' + ",\n".join(lines) + "\n}}\n"
    Path(__file__).with_name("core.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
