"""How a network is had from where it is made: torchvision, timm, or a file of one's own."""

import inspect
from typing import Any, cast

from torch import nn
from torch.nn.parameter import UninitializedParameter

from kd.backbones.names import BackboneName
from kd.backbones.own import first_line, function_of
from kd.errors import UserError, brief, unknown

AUXILIARY = ("googlenet", "inception_v3")
"""Networks of torchvision that give more than logits."""


def create(name: BackboneName, num_classes: int, in_channels: int) -> nn.Module:
    """The network as its library or its file makes it, untrained; UserError if it does not."""
    make = {"torchvision": _of_torchvision, "timm": _of_timm, "module": _of_module}[name.kind]
    network = make(name, num_classes, in_channels)
    if not isinstance(network, nn.Module):
        raise UserError(
            f"{name.short} gives a {type(network).__name__}; let the function return an nn.Module."
        )
    if any(isinstance(parameter, UninitializedParameter) for parameter in network.parameters()):
        raise UserError(
            f"{name.short} has lazy layers, whose widths are not known before it sees images; "
            "write their widths."
        )
    every = [id(weight) for _, weight in network.named_parameters(remove_duplicate=False)]
    if len({*every}) < len(every):
        raise UserError(
            f"{name.short} has weights that two of its layers share, which a file of weights "
            "cannot tell apart; give each its own."
        )
    return network


def _of_torchvision(name: BackboneName, num_classes: int, in_channels: int) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if name.network not in known:
        raise unknown("network of torchvision", name.network, known)
    # Without the classifiers that it has for its training alone.
    more = {"aux_logits": False, "init_weights": True} if name.network in AUXILIARY else {}
    builder = models.get_model_builder(name.network)
    network: nn.Module = builder(weights=None, num_classes=num_classes, **more)
    if in_channels != 3:
        _rechannel(network, in_channels)
    return network


def _of_timm(name: BackboneName, num_classes: int, in_channels: int) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise UserError(
            f"{name.short} needs the package timm; pip install 'kd-search[timm]'."
        ) from None
    if not timm.is_model(name.network):
        raise unknown("network of timm", name.network, timm.list_models())
    network: nn.Module = timm.create_model(
        name.network, pretrained=False, num_classes=num_classes, in_chans=in_channels
    )
    return network


def _of_module(name: BackboneName, num_classes: int, in_channels: int) -> nn.Module:
    function, given = function_of(name), arguments(name, num_classes, in_channels)
    try:
        network: nn.Module = function(**given)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{name.short} failed with num_classes={num_classes} "
            f"({type(error).__name__}: {brief(first_line(error))}); see that it makes a network."
        ) from error
    return network


def arguments(name: BackboneName, num_classes: int, in_channels: int) -> dict[str, int]:
    """What the function of a `module:` is given; UserError where it takes no `num_classes`."""
    known = inspect.signature(function_of(name)).parameters
    if "num_classes" not in known:
        raise UserError(
            f"{name.short} takes {', '.join(known) or 'nothing'}; let it take num_classes, and "
            "in_channels if it can."
        )
    given = {"num_classes": num_classes, "in_channels": in_channels}
    return {word: value for word, value in given.items() if word in known}


def _rechannel(network: nn.Module, in_channels: int) -> None:
    """Put a convolution of `in_channels` in the place of the first of 3."""
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            above, _, last = path.rpartition(".")
            bias = module.bias is not None
            made = nn.Conv2d(
                in_channels,
                module.out_channels,
                cast(Any, module.kernel_size),
                cast(Any, module.stride),
                cast(Any, module.padding),
                cast(Any, module.dilation),
                bias=bias,
            )
            setattr(network.get_submodule(above), last, made)
            return
