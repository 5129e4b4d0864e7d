"""`python -m kd.backbones`: what each backbone is, and what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from kd.backbones import BACKBONES, backbone_names
from kd.cli import run, shown
from kd.errors import unknown

SIZES = (32, 224)


@dataclass(frozen=True, kw_only=True)
class Flags:
    """List the backbones, with what they cost on 3-channel images of 100 classes."""

    patterns: Annotated[tuple[str, ...], tyro.conf.Positional, shown("[NAME …]")] = ("*",)
    """Names, or patterns such as 'resnet*'."""


def chosen(patterns: Sequence[str]) -> list[str]:
    """The backbones that the patterns match, in the registry's order.

    UserError for a pattern that matches none.
    """
    found: set[str] = set()
    for pattern in patterns:
        if not (names := backbone_names(pattern)):
            raise unknown("backbone", pattern, BACKBONES)
        found.update(names)
    return [name for name in BACKBONES if name in found]


def row(name: str) -> list[str]:
    """Name, stages, their widths, parameters, multiply-adds of an image of each of `SIZES`."""
    from kd.backbones.size import blueprint, macs, parameters

    network = blueprint(name, 100)
    costs = [readable(macs(network, (3, size, size))) for size in SIZES]
    widths = " ".join(map(str, network.channels))
    return [name, str(len(network.stages)), widths, f"{parameters(network):,}", *costs]


def readable(count: int) -> str:
    """A count of multiply-adds in millions or billions: `40.8 M`, `1.16 G`."""
    return f"{count / 1e9:.2f} G" if count >= 1e9 else f"{count / 1e6:.1f} M"


def show(flags: Flags) -> None:
    """Print the table."""
    rows = [row(name) for name in chosen(flags.patterns)]
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = 200
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("backbone", no_wrap=True)
    table.add_column("stages", justify="right")
    table.add_column("widths")
    costs = (f"MACs at {size}×{size}" for size in SIZES)
    for title in ("parameters", *costs):
        table.add_column(title, justify="right", no_wrap=True)
    for cells in rows:
        table.add_row(*cells)
    console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, show, argv)


if __name__ == "__main__":
    main()
