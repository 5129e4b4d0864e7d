"""The rows of the registry: the networks that this project has itself.

A row names the family's file in this folder, the number of stages, and what the family's `build`
needs to know.
"""

from dataclasses import dataclass, field, replace
from typing import Any


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
