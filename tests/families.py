"""Which backbones a test takes where all of them would take too long."""

import os
from dataclasses import fields, replace

from kd.backbones import BACKBONES, BackboneSpec
from kd.methods import MethodConfig

FAMILIES = tuple({BACKBONES[name].family: name for name in reversed(BACKBONES)}.values())
"""The first row of each family, which is its smallest network."""
BY_STAGES = tuple({BACKBONES[name].stages: name for name in reversed(BACKBONES)}.values())
"""The first row of each number of stages."""
SMALL = {
    "small_resnet": BackboneSpec("resnet", 3, {"block": "basic", "depths": (1, 1, 1)}),
    "small_preact_resnet": BackboneSpec("preact_resnet", 3, {"depths": (1, 1, 1)}),
    "small_senet": BackboneSpec("senet", 3, {"depths": (1, 1, 1)}),
    "small_mobilenet": BackboneSpec("mobilenet", 4, {"width": 0.25}),
    "small_shufflenetv1": BackboneSpec("shufflenetv1", 3, {"depths": (1, 2, 1)}),
    "small_shufflenetv2": BackboneSpec("shufflenetv2", 3, {"depths": (1, 2, 1)}),
    "small_densenet": BackboneSpec("densenet", 4, {"depths": (1, 2, 1, 2), "growth": 8}),
}
"""Smaller ones of families whose rows are all large; the fixture `small_families` has them."""
FORMS = {
    "small_bottleneck": BackboneSpec(
        "resnet", 3, {"block": "bottleneck", "depths": (1, 1, 1), "groups": 2, "base_width": 16}
    ),
    "small_wide_basic": BackboneSpec(
        "resnet", 3, {"block": "basic", "depths": (1, 1, 1), "base_width": 128}
    ),
    "small_repdistiller": BackboneSpec(
        "mobilenet", 4, {"width": 0.25, "form": "repdistiller", "stem_stride": 2}
    ),
}
"""Of the other blocks that a family has; the fixture has them too."""
_SMALL_OF = {spec.family: name for name, spec in SMALL.items()}
LIGHT = tuple(_SMALL_OF.get(BACKBONES[name].family, name) for name in FAMILIES)
"""A network of each family that trains in a moment."""
SMALLEST = "resnet8"
LARGE = "googlenet"
"""Of these the one that is no small network, so that little is tried on it."""
NARROW = "wrn_16_2"
HEAVY = ("lsskd", "semckd")
"""What these add to the last stage's channels would take minutes where they are many."""
WIDE = ("googlenet", "vgg8", "small_mobilenet", "small_shufflenetv2")
"""Where they are so many that SemCKD takes gigabytes."""


def pairs(methods: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each method on the smallest backbone and in turn on another family.

    With KD_TEST_ALL, which `make test-all` sets, every method on every family.
    """
    if os.environ.get("KD_TEST_ALL"):
        every = [(method, backbone) for backbone in LIGHT for method in methods]
        return [pair for pair in every if pair not in {("semckd", name) for name in WIDE}]
    others = [name for name in LIGHT if name not in (SMALLEST, LARGE)]
    found = [(method, SMALLEST) for method in methods]
    for turn, method in enumerate(methods):
        found.append((method, NARROW if method in HEAVY else others[turn % len(others)]))
    return [*found, ("dtskd", LARGE)]


def hurried(method: MethodConfig) -> MethodConfig:
    """The same with one epoch in each phase before the main one that has any."""
    counts = {f.name for f in fields(method) if f.name.endswith("_epochs")}
    return replace(method, **{name: min(1, getattr(method, name)) for name in counts})
