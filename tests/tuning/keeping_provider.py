"""Machines that ssh reaches, whose tags are read once, as AWS's provider reads them."""

from typing import Any

from ray.autoscaler._private.local.node_provider import LocalNodeProvider


class KeepingProvider(LocalNodeProvider):  # type: ignore[misc]
    """Keeps what it has read of a machine's tags for as long as it lives."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.kept: dict[str, dict[str, str]] = {}

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Those of the first time."""
        return self.kept.setdefault(node_id, super().node_tags(node_id))
