"""Networks of torchvision, of timm, and of anyone's own file, in the form that backbones take.

One whose stages can be told apart is divided into them, and its parts keep its parameters' names;
any other is taken as a whole, which serves the methods that need nothing but logits.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from kd.backbones.dividing import Boundary, Flow, UndividableError
from kd.backbones.makers import create
from kd.backbones.names import BackboneName, Stage
from kd.backbones.own import first_line
from kd.backbones.staged import StagedBackbone
from kd.errors import UserError, brief

EXAMPLES = ((3, 224), (3, 32), (3, 64), (1, 28), (1, 32), (3, 96), (3, 128), (3, 256), (3, 384))
"""Channels and sides of the images by which stages are found; the first that the network takes."""
CLASSES = 10
"""For how many classes, there."""
DEPTHS = (0, 1, 2)
"""How deep a network is opened to find its stages."""
MOST_STAGES = 8


class UnfitError(UserError):
    """The network cannot take images of this size; it may take others."""


def build(num_classes: int, in_channels: int, *, name: str) -> StagedBackbone:
    """The network, drawn as its library or its file draws it.

    Args:
        num_classes: of the classifier.
        in_channels: of the images.
        name: as of `BackboneName`, with its stages.

    Raises:
        UserError: it cannot be had, or is no longer divided as its name says.
    """
    parsed = BackboneName.parse(name)
    stages = parsed.stages or ()

    def parts() -> list[nn.Module]:
        return _divided(parsed, create(parsed, num_classes, in_channels))

    def make_stage(
        index: int, in_channels: int | None = None, stride: int | None = None
    ) -> nn.Module:
        made = parts()[1 + index]
        usual = _width(stages[index - 1]) if index else _takes(made)
        if stride == 1:
            made = _unstrided(made, usual)
        if in_channels in (None, usual):
            return made
        return nn.Sequential(nn.Conv2d(in_channels, usual, 1, bias=False), made)

    if not stages:
        whole = create(parsed, num_classes, in_channels)
        return StagedBackbone(
            nn.Identity(), (), whole, channels=(), make_stage=make_stage, pools=False
        )
    stem, *each, rest = parts()
    return StagedBackbone(
        stem, each, rest, channels=map(_width, stages), make_stage=make_stage, pools=False
    )


def own_key(key: str) -> str:
    """The name that the network itself gives to the parameter or buffer `key`."""
    part, _, rest = key.partition(".")
    return rest.partition(".")[2] if part == "stages" else rest


@lru_cache
def found(name: BackboneName) -> BackboneName:
    """The same with the stages of the network and their widths, none where it has none.

    Those that the name chooses; else of timm what it describes as features, as far as the network
    can be divided there; else where the resolution changes.

    Raises:
        UserError: there is no such network, or no such stage in it.
    """
    with torch.random.fork_rng(devices=[]):
        paths = [stage.path for stage in name.stages or ()]
        first: Exception | None = None
        for depth in DEPTHS:
            try:
                if stages := _stages(name, paths, depth):
                    return replace(name, stages=stages)
            # What is no place to divide may be one inside of what was not opened.
            except (UndividableError, UserError) as error:
                first = first or error
    if paths and isinstance(first, UndividableError):
        raise UserError(
            f"{name.short} cannot be divided into stages: {first}; leave away what stands behind "
            "the @ to train it as a whole."
        )
    if isinstance(first, UserError):
        raise first
    return replace(name, stages=())


@lru_cache
def takes(name: str, num_classes: int, in_channels: int, size: tuple[int, int]) -> None:
    """Raise UserError where the network does not make logits of images of `size` (H, W).

    Nor as it is trained: some give more then, or can be followed by no gradient.
    """
    parsed = BackboneName.parse(name)
    with torch.random.fork_rng(devices=[]):
        network = build(num_classes, in_channels, name=name)
        if not any(weight.requires_grad for weight in network.parameters()):
            raise UserError(
                f"{parsed.short} has no weights that are trained; let some have requires_grad."
            )
        for training in (False, True):
            _try(network.train(training), parsed, torch.zeros(2, in_channels, *size), num_classes)
    shapes = network.shapes(in_channels, size).stages
    for stage, feature in zip(parsed.stages or (), shapes, strict=True):
        if feature.shape[1] != stage.width:
            raise UserError(
                f"{parsed.short} has {feature.shape[1]} channels behind {stage.path}, and its "
                f"configuration names {stage.width}; put the network back as it was, or write the "
                f"name anew, without ={stage.width}."
            )


def takes_some(name: str, num_classes: int) -> None:
    """Raise UserError, as `takes` does, where no images of a usual size make logits."""
    errors = []
    for channels, side in sorted(EXAMPLES, key=lambda example: (-example[0], example[1])):
        try:
            return takes(name, num_classes, channels, (side, side))
        except UserError as error:
            errors.append(error)
    raise next((error for error in errors if not isinstance(error, UnfitError)), errors[0])


def _try(network: nn.Module, name: BackboneName, images: Tensor, num_classes: int) -> None:
    """Raise UserError where the network makes no logits of `images`, or cannot learn from them."""
    try:
        with torch.set_grad_enabled(network.training):
            logits = network(images)
    except Exception as error:
        form = "×".join(map(str, images.shape[1:]))
        raise UnfitError(
            f"{name.short} cannot take images of {form} ({brief(first_line(error))}); choose "
            "another backbone, or images of the size that it is made for."
        ) from None
    when = " in training" if network.training else ""
    shape = getattr(logits, "shape", None)
    if shape is None or tuple(shape) != (len(images), num_classes):
        given = f"a {type(logits).__name__}" if shape is None else list(shape)
        raise UserError(
            f"{name.short} gives {given} for {len(images)} images and {num_classes} classes{when}; "
            f"let it give logits, [{len(images)}, {num_classes}]."
        )
    if network.training:
        try:
            logits.sum().backward()
        except Exception as error:
            raise UserError(
                f"{name.short} cannot be trained ({brief(first_line(error))}); let gradients go "
                "from its logits to its weights."
            ) from None


# -- divided --------------------------------------------------------------------------------------


def _stages(name: BackboneName, paths: list[str], depth: int) -> tuple[Stage, ...]:
    """The stages of the network, opened to `depth`; none where none are found."""
    network, flow = _followed(name, depth)
    ends: list[Boundary] = []
    if paths:
        ends = flow.behind(paths)
    elif name.kind == "timm":
        ends = _described(network, flow)
    ends = ends or flow.by_resolution()
    if any(not place.side for place in ends):
        odd = next(place for place in ends if not place.side)
        raise UserError(
            f"{flow.named(odd)} gives {list(odd.shape[1:])}, which is no square map of channels, "
            "[C, H, H]; choose other stages."
        )
    if ends:
        flow.divide(ends)
    return tuple(Stage(flow.named(place), place.shape[1]) for place in ends[-MOST_STAGES:])


def _followed(name: BackboneName, depth: int) -> tuple[nn.Module, Flow]:
    """The network and its flow, for the first example that it takes."""
    last: Exception | None = None
    for channels, side in EXAMPLES:
        network, device = _light(name, channels)
        try:
            return network, Flow(
                network, torch.zeros(1, channels, side, side, device=device), depth
            )
        except UndividableError:
            raise
        except Exception as error:  # of the network's own code, for images of another size
            last = last or error
    raise UndividableError(f"it takes no images of a usual size ({brief(first_line(last))})")


def _light(name: BackboneName, channels: int) -> tuple[nn.Module, str]:
    """The network without its weights' values, if that can be, and the device that it lies on."""
    try:
        with torch.device("meta"):
            return create(name, CLASSES, channels), "meta"
    except (NotImplementedError, RuntimeError):
        return create(name, CLASSES, channels), "cpu"


def _described(network: nn.Module, flow: Flow) -> list[Boundary]:
    """Where timm says that features are, but for the stem's; none where it cannot be divided so."""
    about = getattr(network, "feature_info", None)
    paths = [entry["module"] for entry in about or () if entry["module"]]
    try:
        ends = flow.behind(paths)
    except UserError:
        return []
    upto = flow.boundaries[: flow.boundaries.index(ends[0]) + 1] if ends else []
    if sum(place.layers for place in upto) < 2:
        ends = ends[1:]
    return ends if len(ends) > 1 and all(place.side for place in ends) else []


def _divided(name: BackboneName, network: nn.Module) -> list[nn.Module]:
    """The network's stem, stages and rest; UserError where they are not those of `name`."""
    paths = [stage.path for stage in name.stages or ()]
    for depth in DEPTHS:
        try:
            flow = Flow(network, depth=depth)
            return flow.divide(flow.behind(paths))
        except (UndividableError, UserError):
            if depth == DEPTHS[-1]:
                raise UserError(
                    f"{name.short} has no stages {', '.join(paths)} any more, which its "
                    "configuration names; put the network back as it was, or write the name anew."
                ) from None
    raise AssertionError


def _unstrided(module: nn.Module, in_channels: int) -> nn.Module:
    """The same at stride 1, where its parts still fit together then; else as it is."""
    layers: list[Any] = [layer for layer in module.modules() if hasattr(layer, "stride")]
    before = [layer.stride for layer in layers]
    for layer in layers:
        layer.stride = (1, 1) if isinstance(layer.stride, tuple) else 1
    device = next(module.parameters()).device
    training = module.training
    try:
        with torch.no_grad():
            module.eval()(torch.zeros(1, in_channels, 8, 8, device=device))
    except Exception:
        for layer, stride in zip(layers, before, strict=True):
            layer.stride = stride
    module.train(training)
    return module


def _takes(module: nn.Module) -> int:
    """How many channels its first convolution takes."""
    return next(m.in_channels for m in module.modules() if isinstance(m, nn.Conv2d))


def _width(stage: Stage) -> int:
    assert stage.width is not None
    return stage.width
