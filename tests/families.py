"""Which backbones a test takes where all of them would take too long."""

from dataclasses import fields, replace

from kd.backbones import BACKBONES, backbone_names
from kd.methods import MethodConfig

FAMILIES = tuple({BACKBONES[name].family: name for name in reversed(BACKBONES)}.values())
"""The first row of each family, which is its smallest network."""


HEAVY = {("semckd", "mobilenetv2")}
"""Left out: its regressors to 1280 channels, 240 million weights, would take minutes."""


def pairs(methods: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each method on one backbone of each family; each other backbone with one of the methods."""
    found = [(m, backbone) for m in methods for backbone in FAMILIES if (m, backbone) not in HEAVY]
    others = [name for name in backbone_names() if name not in FAMILIES]
    return [*found, *((methods[n % len(methods)], name) for n, name in enumerate(others))]


def hurried(method: MethodConfig) -> MethodConfig:
    """The same with one epoch in each phase before the main one that has any."""
    counts = {f.name for f in fields(method) if f.name.endswith("_epochs")}
    return replace(method, **{name: min(1, getattr(method, name)) for name in counts})
