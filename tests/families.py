"""Which backbones a test takes where all of them would take too long."""

from dataclasses import fields, replace

from kd.backbones import BACKBONES, backbone_names
from kd.methods import MethodConfig

FAMILIES = tuple({BACKBONES[name].family: name for name in reversed(BACKBONES)}.values())
"""The first row of each family, which is its smallest network."""
SMALLEST = "resnet8"
HEAVY = {("semckd", "mobilenetv2"), ("hsakd", "mobilenetv2")}
"""Left out: what they add to 1280 channels would take minutes."""


def pairs(methods: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each method on the smallest backbone and in turn on another; each backbone with a method."""
    families = [name for name in FAMILIES if name != SMALLEST]
    found = [(method, SMALLEST) for method in methods]
    for turn, method in enumerate(methods):
        backbone, after = (families[(turn + n) % len(families)] for n in (0, 1))
        found.append((method, after if (method, backbone) in HEAVY else backbone))
    rest = [name for name in backbone_names() if name not in FAMILIES]
    return [*found, *((methods[n % len(methods)], name) for n, name in enumerate(rest))]


def hurried(method: MethodConfig) -> MethodConfig:
    """The same with one epoch in each phase before the main one that has any."""
    counts = {f.name for f in fields(method) if f.name.endswith("_epochs")}
    return replace(method, **{name: min(1, getattr(method, name)) for name in counts})
