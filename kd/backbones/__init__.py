"""The registry of backbones. Listing it imports no torch; building a network does.

A row names the family's file in this folder, the number of stages, and what the family's
`build` needs to know. A new member of a family is a row; a new family is a file and its rows.
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from kd.backbones.names import KINDS, BackboneName, short
from kd.errors import UserError, unknown

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


def _row(family: str, stages: int, teacher: str | None = None, **options: Any) -> BackboneSpec:
    return BackboneSpec(family, stages, options, teacher)


_X4 = (32, 64, 128, 256)

BACKBONES: dict[str, BackboneSpec] = {
    "resnet8": _row("cifar_resnet", 3, "resnet20", depth=8),
    "resnet20": _row("cifar_resnet", 3, "resnet56", depth=20),
    "resnet32": _row("cifar_resnet", 3, "resnet110", depth=32),
    "resnet56": _row("cifar_resnet", 3, depth=56),
    "resnet110": _row("cifar_resnet", 3, depth=110),
    "resnet8x4": _row("cifar_resnet", 3, "resnet32x4", depth=8, channels=_X4),
    "resnet32x4": _row("cifar_resnet", 3, depth=32, channels=_X4),
    "resnet18": _row("resnet", 4, "resnet34", block="basic", depths=(2, 2, 2, 2)),
    "resnet34": _row("resnet", 4, block="basic", depths=(3, 4, 6, 3)),
    "resnet50": _row("resnet", 4, block="bottleneck", depths=(3, 4, 6, 3)),
    "resnet101": _row("resnet", 4, block="bottleneck", depths=(3, 4, 23, 3)),
    "resnet152": _row("resnet", 4, block="bottleneck", depths=(3, 8, 36, 3)),
    "resnext18": _row("resnet", 4, block="basic", depths=(2, 2, 2, 2), base_width=128),
    "resnext29_8x64d": _row("resnet", 3, block="bottleneck", depths=(3, 3, 3), groups=8),
    "preact_resnet18": _row("preact_resnet", 4, depths=(2, 2, 2, 2)),
    "senet34": _row("senet", 4, depths=(3, 4, 6, 3)),
    "wrn_16_2": _row("wide_resnet", 3, "wrn_40_2", depth=16, width=2),
    "wrn_40_1": _row("wide_resnet", 3, "wrn_40_2", depth=40, width=1),
    "wrn_40_2": _row("wide_resnet", 3, depth=40, width=2),
    "vgg8": _row("vgg", 4, "vgg13", depths=(1, 1, 1, 1, 1)),
    "vgg11": _row("vgg", 4, depths=(1, 1, 2, 2, 2)),
    "vgg13": _row("vgg", 4, depths=(2, 2, 2, 2, 2)),
    "vgg16": _row("vgg", 4, depths=(2, 2, 3, 3, 3)),
    "mobilenetv2": _row("mobilenet", 4, "resnet50", width=1.0),
    "mobilenetv2_half": _row("mobilenet", 4, "vgg13", width=0.5, form="repdistiller"),
    "mobilenetv2_half_s2": _row(
        "mobilenet", 4, "vgg13", width=0.5, form="repdistiller", stem_stride=2
    ),
    "shufflenetv1": _row("shufflenetv1", 3, "wrn_40_2", depths=(4, 8, 4)),
    "shufflenetv2": _row("shufflenetv2", 3, "resnet32x4", depths=(4, 8, 4)),
    "googlenet": _row("googlenet", 3),
    "densenet121": _row("densenet", 4, depths=(6, 12, 24, 16), growth=32),
}
# Forms for 64×64 images, whose stem halves the resolution.
_HALVED = ("resnet18", "resnet34", "resnet50", "vgg16", "shufflenetv2", "googlenet", "densenet121")
BACKBONES |= {
    f"{name}_s2": replace(
        BACKBONES[name], options=BACKBONES[name].options | {"stem_stride": 2}, teacher=None
    )
    for name in _HALVED
}
BACKBONES |= {
    "resnet18_s2": replace(BACKBONES["resnet18_s2"], teacher="resnet34_s2"),
    "mobilenetv2_s2": _row(
        "mobilenet", 4, "resnet50_s2", width=1.0, form="repdistiller", stem_stride=2
    ),
}


def backbone_names(pattern: str = "*") -> tuple[str, ...]:
    """Every registered backbone that the shell pattern matches, such as `resnet*`, in order."""
    return tuple(name for name in sorted(BACKBONES) if fnmatchcase(name, pattern))


def backbone_spec(name: str) -> BackboneSpec:
    """The row of `name`; UserError with the nearest name if there is none.

    Of a network of another library, or of one's own, it is made up; where its name lacks the
    stages, the network is looked at, which imports it and torch.
    """
    if BackboneName.parse(name).kind:
        whole = whole_name(name)
        return BackboneSpec("foreign", len(BackboneName.parse(whole).stages or ()), {"name": whole})
    if name not in BACKBONES:
        raise unknown("backbone", name, (*BACKBONES, *KINDS.values()))
    return BACKBONES[name]


def whole_name(name: str) -> str:
    """The name with the stages of its network, and their widths; as it is, of a registered one.

    UserError where they are to be found and the network cannot be had.
    """
    parsed = BackboneName.parse(name)
    if not parsed.kind:
        backbone_spec(name)
    if not parsed.kind or parsed.found:
        return str(parsed)
    from kd.backbones.foreign import found

    return str(found(parsed))


def require_stages(names: Iterable[str], least: int, method: str) -> None:
    """Raise UserError where `method` watches `least` stages or more, and one of these has fewer."""
    for name in names:
        if (stages := backbone_spec(name).stages) < least:
            raise UserError(
                f"{method} watches stages of its networks, at least {least}, and {short(name)} has "
                f"{stages} that can be told apart; name them as {short(name)}@LAYER,LAYER, or "
                "choose a method that watches logits alone, such as kd, dkd or pskd."
            )


def require_images(
    names: Iterable[str], num_classes: int, in_channels: int, size: tuple[int, int]
) -> None:
    """Raise UserError where one takes no images of `size` (H, W), or gives no logits of them.

    Registered ones take all; any other is tried.
    """
    for name in names:
        if BackboneName.parse(name).kind:
            from kd.backbones.foreign import takes

            takes(name, num_classes, in_channels, size)


def build_backbone(name: str, num_classes: int, in_channels: int = 3) -> "StagedBackbone":
    """A freshly initialised network for 32×32-like images of `in_channels` channels."""
    spec = backbone_spec(name)
    family = importlib.import_module(f"{__name__}.{spec.family}")
    network: StagedBackbone = family.build(num_classes, in_channels, **spec.options)
    return network
