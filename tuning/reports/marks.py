"""The marks of the charts: every kind of trial, and every series, has a shape of its own.

Colour alone tells nothing to a reader who does not see it, and nothing in black and white.
"""

import math

from markupsafe import Markup

Point = tuple[float, float]


def _star() -> list[Point]:
    corners = []
    for i in range(10):
        angle, radius = math.pi * i / 5, 1.7 if i % 2 == 0 else 0.75
        corners.append((radius * math.sin(angle), -radius * math.cos(angle)))
    return corners


_CORNERS: dict[str, list[Point]] = {
    "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "triangle": [(0, -1.25), (1.2, 0.95), (-1.2, 0.95)],
    "diamond": [(0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)],
    "down": [(0, 1.25), (1.2, -0.95), (-1.2, -0.95)],
    "star": _star(),
}
SHAPES = {
    "best": "star",
    "paper": "square",
    "front": "diamond",
    "stopped": "down",
    "failed": "cross",
}
"""The shape of a trial's mark by its style; that of all others is a disc."""
SERIES = ("disc", "square", "triangle", "diamond", "down", "star", "cross")
"""The shapes of the series of a comparison, in their order."""


def mark(
    x: float,
    y: float,
    style: str,
    tip: str = "",
    *,
    size: float = 4,
    fill: float = 1,
    shape: str = "",
) -> Markup:
    """A mark of the class `style` around a pixel; `size` is its radius, `fill` its opacity."""
    outline = _outline(shape or SHAPES.get(style, "disc"), x, y, size)
    template = '<path class="mark {}" fill-opacity="{:.2f}" d="{}">{}</path>'
    title = Markup("<title>{}</title>").format(tip) if tip else ""
    return Markup(template).format(style, fill, outline, title)


def _outline(shape: str, x: float, y: float, size: float) -> str:
    if shape == "disc":
        return (
            f"M{x - size:.1f},{y:.1f}a{size},{size} 0 1,0 {2 * size},0"
            f"a{size},{size} 0 1,0 {-2 * size},0Z"
        )
    if shape == "cross":
        wide = 2 * size
        return f"M{x - size:.1f},{y - size:.1f}l{wide},{wide}m0,{-wide}l{-wide},{wide}"
    corners = (f"{x + size * a:.1f},{y + size * b:.1f}" for a, b in _CORNERS[shape])
    return f"M{'L'.join(corners)}Z"
