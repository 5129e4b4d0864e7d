"""The registry of backbones. Listing it imports no torch; building a network does.

A new member of a family is a row of `registered`; a new family is a file and its rows.
"""

import importlib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from kd.backbones.names import KINDS, BackboneName, short
from kd.backbones.own import OWN, source_of
from kd.backbones.registered import BACKBONES, BackboneSpec
from kd.errors import UserError, brief, unknown
from kd.plugins import BACKBONES as ADDED
from kd.plugins import added

__all__ = [
    "BACKBONES",
    "BackboneSpec",
    "backbone_names",
    "backbone_spec",
    "build_backbone",
    "require_images",
    "require_stages",
    "unknown_backbone",
    "whole_name",
]

if TYPE_CHECKING:
    from kd.backbones.staged import StagedBackbone


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
        raise unknown_backbone(name)
    return BACKBONES[name]


def unknown_backbone(name: str) -> UserError:
    """The error for a name that is none; of a file or its function it lacks what stands before."""
    try:
        own = BackboneName.parse(f"{OWN}:{name}")
    except UserError:
        if name.endswith(".py"):
            return UserError(
                f"There is no backbone '{brief(name)}'; write {OWN}:{brief(name)}:FUNCTION, the "
                "function in it that makes the network."
            )
    else:
        if ".py:" in name or source_of(own):
            return UserError(
                f"There is no backbone '{brief(name)}'; did you mean '{OWN}:{brief(name)}'?"
            )
    return unknown("backbone", name, (*BACKBONES, *added(ADDED), *KINDS.values()))


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
