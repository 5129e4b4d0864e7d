"""The registry of backbones. Listing it imports no torch; building a network does.

A row names the family's file in this folder, the number of stages, and what the family's
`build` needs to know. A new member of a family is a row; a new family is a file and its rows.
"""

import importlib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from kd.errors import unknown

if TYPE_CHECKING:
    from kd.backbones.staged import StagedBackbone


@dataclass(frozen=True)
class BackboneSpec:
    """One registered network: its family's module, its stages, the family's options.

    `teacher` is the network that papers pair with it as a larger teacher (Tian et al. 2020 and
    their RepDistiller; on ImageNet ResNet-34 teaches ResNet-18); None where none is named.
    """

    family: str
    stages: int
    options: dict[str, Any] = field(default_factory=dict)
    teacher: str | None = None


BACKBONES: dict[str, BackboneSpec] = {
    "resnet8": BackboneSpec("cifar_resnet", 3, {"depth": 8}, teacher="resnet20"),
    "resnet20": BackboneSpec("cifar_resnet", 3, {"depth": 20}, teacher="resnet56"),
    "resnet56": BackboneSpec("cifar_resnet", 3, {"depth": 56}),
    "resnet18": BackboneSpec(
        "resnet", 4, {"block": "basic", "depths": (2, 2, 2, 2)}, teacher="resnet34"
    ),
    "resnet34": BackboneSpec("resnet", 4, {"block": "basic", "depths": (3, 4, 6, 3)}),
    "resnet50": BackboneSpec("resnet", 4, {"block": "bottleneck", "depths": (3, 4, 6, 3)}),
    "wrn_16_2": BackboneSpec("wide_resnet", 3, {"depth": 16, "width": 2}, teacher="wrn_40_2"),
    "wrn_40_2": BackboneSpec("wide_resnet", 3, {"depth": 40, "width": 2}),
    "mobilenetv2": BackboneSpec("mobilenet", 4, {"width": 1.0}, teacher="resnet50"),
}


def backbone_names(pattern: str = "*") -> tuple[str, ...]:
    """Every registered backbone that the shell pattern matches, such as `resnet*`, in order."""
    return tuple(name for name in sorted(BACKBONES) if fnmatchcase(name, pattern))


def backbone_spec(name: str) -> BackboneSpec:
    """The row of `name`; UserError with the nearest name if there is none."""
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    return BACKBONES[name]


def build_backbone(name: str, num_classes: int, in_channels: int = 3) -> "StagedBackbone":
    """A freshly initialised network for 32×32-like images of `in_channels` channels."""
    spec = backbone_spec(name)
    family = importlib.import_module(f"{__name__}.{spec.family}")
    network: StagedBackbone = family.build(num_classes, in_channels, **spec.options)
    return network
