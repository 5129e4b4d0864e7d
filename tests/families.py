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
_SMALL_OF = {spec.family: name for name, spec in SMALL.items()}
LIGHT = tuple(_SMALL_OF.get(BACKBONES[name].family, name) for name in FAMILIES)
"""A network of each family that trains in a moment."""

DIFFERENT = ("ab", "dml", "dtskd", "lsskd")
"""What they need of a backbone differs: values before activations, and phases; a second network;
pooled stages; stages made anew."""


def pairs(methods: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each method on one family in turn, and each family with those that are different.

    With KD_TEST_ALL every method on every family.
    """
    if os.environ.get("KD_TEST_ALL"):
        return [(method, backbone) for method in methods for backbone in LIGHT]
    in_turn = {(method, LIGHT[n % len(LIGHT)]) for n, method in enumerate(methods)}
    return sorted(in_turn | {(method, backbone) for method in DIFFERENT for backbone in LIGHT})


def hurried(method: MethodConfig) -> MethodConfig:
    """The same with one epoch in each phase before the main one that has any."""
    counts = {f.name for f in fields(method) if f.name.endswith("_epochs")}
    return replace(method, **{name: min(1, getattr(method, name)) for name in counts})
