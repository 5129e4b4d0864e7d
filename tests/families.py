"""Which backbones a test takes where all of them would take too long."""

from dataclasses import fields, replace

from kd.backbones import BACKBONES, backbone_names
from kd.methods import MethodConfig

FAMILIES = tuple({BACKBONES[name].family: name for name in reversed(BACKBONES)}.values())
"""The first row of each family, which is its smallest network."""
SMALLEST = "resnet8"
HEAVY = ("hsakd", "hssakd", "lsskd", "mixskd", "semckd", "sskd")
"""What these add to the many channels of the other families would take minutes."""
LIGHT = "wrn_16_2"


def pairs(methods: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each method on the smallest backbone and in turn on another; each backbone with a method."""
    families = [name for name in FAMILIES if name != SMALLEST]
    found = [(method, SMALLEST) for method in methods]
    for turn, method in enumerate(methods):
        found.append((method, LIGHT if method in HEAVY else families[turn % len(families)]))
    rest = [name for name in backbone_names() if name not in FAMILIES]
    return [*found, *((methods[n % len(methods)], name) for n, name in enumerate(rest))]


def hurried(method: MethodConfig) -> MethodConfig:
    """The same with one epoch in each phase before the main one that has any."""
    counts = {f.name for f in fields(method) if f.name.endswith("_epochs")}
    return replace(method, **{name: min(1, getattr(method, name)) for name in counts})
