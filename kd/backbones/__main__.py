"""`python -m kd.backbones`: what each backbone is, and what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from kd.backbones import (
    BACKBONES,
    backbone_names,
    backbone_spec,
    unknown_backbone,
    whole_name,
)
from kd.backbones.names import BackboneName
from kd.cli import run, shown

if TYPE_CHECKING:
    from kd.backbones.staged import StagedBackbone

SIZES = (32, 224)
CLASSES = 100
TITLES: dict[str, Literal["left", "right"]] = {
    "backbone": "left",
    "family": "left",
    "stages": "right",
    "widths": "left",
    "parameters": "right",
    **{f"MACs at {size}": "right" for size in SIZES},
    "teacher": "left",
}
"""Of the table's columns, and the side that their cells stand at."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """List the backbones: widths of stages, costs at 3 channels and 100 classes, usual teacher."""

    patterns: Annotated[tuple[str, ...], tyro.conf.Positional, shown("[NAME …]")] = ("*",)
    """Names, or patterns such as 'resnet*'; torchvision:NAME, timm:NAME, module:FILE:FUNCTION."""


def chosen(patterns: Sequence[str]) -> list[str]:
    """The backbones that the patterns match, in the registry's order; then those of elsewhere.

    UserError for a pattern that matches none, and for a network that a search would refuse.
    """
    found: set[str] = set()
    elsewhere = [pattern for pattern in patterns if BackboneName.parse(pattern).kind]
    for pattern in patterns:
        if pattern in elsewhere:
            continue
        if not (names := backbone_names(pattern)):
            raise unknown_backbone(pattern)
        found.update(names)
    return [*(name for name in BACKBONES if name in found), *map(_tried, elsewhere)]


def _tried(pattern: str) -> str:
    """The whole name of a network of elsewhere; UserError for one that cannot be trained."""
    from kd.backbones.foreign import takes_some

    name = whole_name(pattern)
    takes_some(name, CLASSES)
    return name


def row(name: str) -> list[str]:
    """The cells of a backbone, as `TITLES` name them."""
    from kd.backbones.size import blueprint, parameters

    network, spec, parsed = blueprint(name, CLASSES), backbone_spec(name), BackboneName.parse(name)
    widths = " ".join(map(str, network.channels))
    costs = [_macs(network, size) for size in SIZES]
    count, family = f"{parameters(network):,}", parsed.kind or spec.family
    return [parsed.short, family, str(spec.stages), widths, count, *costs, spec.teacher or ""]


def _macs(network: "StagedBackbone", size: int) -> str:
    """For an image of `size` pixels a side; nothing where it takes none of that size."""
    from kd.backbones.size import macs

    try:
        return readable(macs(network, (3, size, size)))
    except Exception:
        return "–"


def readable(count: int) -> str:
    """A count of multiply-adds in millions or billions: `40.8 M`, `1.16 G`."""
    return f"{count / 1e9:.2f} G" if count >= 1e9 else f"{count / 1e6:.1f} M"


def show(flags: Flags) -> None:
    """Print the table."""
    names = chosen(flags.patterns)
    rows = [row(name) for name in names]
    from rich.console import Console
    from rich.table import Table

    # A terminal that is narrower breaks lines, and no words.
    console = Console(width=200, markup=False, emoji=False)
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for title, side in TITLES.items():
        table.add_column(title, justify=side)
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    for name in names:
        parsed = BackboneName.parse(name)
        if parsed.kind and parsed.stages:
            ends = ", ".join(stage.path for stage in parsed.stages)
            print(f"{parsed.short}: its stages end with {ends}")
        elif parsed.kind:
            print(f"{parsed.short}: no stages can be told apart, so it is trained as a whole")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, show, argv)


if __name__ == "__main__":
    main()
