"""What a backbone is called: a registered network, one of another library, or one's own.

Beside the registered names there are `torchvision:NAME`, `timm:NAME` and `module:FILE:FUNCTION`.
Behind an `@` stand the submodules that its stages end with, and how wide they are:
`torchvision:resnet18@layer1=64,layer2=128,layer3=256,layer4=512`. Nobody needs to type that: the
stages are found by resolution, once, and a configuration keeps them, so that it is read without
the network. Who types some (`@layer2,layer4`) chooses them. `@` with nothing behind it is a
network that is taken as a whole.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from kd.backbones.registered import BACKBONES
from kd.errors import UserError, brief
from kd.plugins import BACKBONES as ADDED
from kd.plugins import added, name_of

KINDS = {
    "torchvision": "torchvision:NAME",
    "timm": "timm:NAME",
    "module": "module:FILE:FUNCTION",
}
"""Where networks come from that are not registered, and how one is named."""
EXAMPLES = {
    "torchvision": "torchvision:resnet18",
    "timm": "timm:efficientnet_lite0",
    "module": "module:mynet:build for `def build` in mynet.py",
}

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_PATH = re.compile(r"\w+(\.\w+)*")


@dataclass(frozen=True)
class Stage:
    """A stage of a network: the submodule that it ends with, and its width; None if not known."""

    path: str
    width: int | None = None

    def __str__(self) -> str:
        return self.path if self.width is None else f"{self.path}={self.width}"


@dataclass(frozen=True)
class BackboneName:
    """The name of a backbone, taken apart.

    kind: a key of `KINDS`; "" for a registered network.
    network: its name there; of a module `package.file:function`.
    stages: shallow to deep; None where they have not been looked for.
    """

    kind: str
    network: str
    stages: tuple[Stage, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a configuration's `backbone` apart; UserError for what is no such name.

        A name that a package adds stands for `module:` and what it adds.
        """
        if text in added(ADDED) and text not in BACKBONES:
            text = f"module:{added(ADDED)[text].value}"
        kind, colon, rest = text.partition(":")
        if not colon or kind not in KINDS:
            return cls("", text)
        network, at, stages = rest.partition("@")
        network = _dotted(network) if kind == "module" else network
        if not network or (kind == "module" and not _MODULE.fullmatch(network)):
            raise UserError(f"The backbone is '{brief(text)}'; write {written(kind)}.")
        listed = [entry for entry in stages.split(",") if entry]
        return cls(kind, network, tuple(_stage(text, one) for one in listed) if at else None)

    @property
    def found(self) -> bool:
        """Whether its stages are known, with their widths."""
        return self.stages is not None and all(one.width is not None for one in self.stages)

    @property
    def short(self) -> str:
        """The name without its stages, as a person types it: of what a package adds, its name."""
        name = name_of(ADDED, self.network) if self.kind == "module" else None
        return str(replace(self, stages=None)) if name is None or name in BACKBONES else name

    def __str__(self) -> str:
        """The name as a configuration has it."""
        if not self.kind:
            return self.network
        stages = "" if self.stages is None else "@" + ",".join(map(str, self.stages))
        return f"{self.kind}:{self.network}{stages}"


def written(kind: str) -> str:
    """How a network of that kind is named, with an example."""
    return f"{KINDS[kind]}, for example {EXAMPLES[kind]}"


def short(backbone: str) -> str:
    """What a person calls the backbone of a configuration."""
    return BackboneName.parse(backbone).short


def _dotted(network: str) -> str:
    """`nets/mynet.py:build` as Python imports it: `nets.mynet:build`."""
    file, colon, function = network.rpartition(":")
    return f"{file.removeprefix('./').removesuffix('.py').replace('/', '.')}{colon}{function}"


def _stage(text: str, entry: str) -> Stage:
    path, equals, width = entry.partition("=")
    if not _PATH.fullmatch(path) or (equals and not (width.isdecimal() and int(width))):
        raise UserError(
            f"The backbone is '{brief(text)}', and '{brief(entry)}' names no stage; write "
            "submodules behind the @, for example @layer1,layer2."
        )
    return Stage(path, int(width) if equals else None)
