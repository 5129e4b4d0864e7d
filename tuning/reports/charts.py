"""How a chart is drawn as SVG text, whatever it shows: marks over axes, bars, parallel axes.

Drawn by us, so that a report is one file that needs no script or network. Colours come from the
page's style sheet by class (`best`, `paper`, `other`, `stopped`, `failed`), so one chart serves
light, dark and print. Every mark tells its numbers in a `<title>`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from tuning.reports.axis import Axis

Point = tuple[float, float]


class Chart:
    """Marks over two axes. Coordinates given to the methods are data values."""

    LEFT, RIGHT, TOP, BOTTOM = 46, 14, 34, 40

    def __init__(
        self,
        x: Axis,
        y: Axis,
        *,
        name: str,
        x_label: str,
        y_label: str,
        width: int = 440,
        height: int = 300,
    ) -> None:
        self.x, self.y, self.name = x, y, name
        self.width, self.height = width, height
        self._marks: list[Markup] = []
        self._frame(x_label, y_label)

    def at(self, x: Any, y: Any) -> Point:
        """The pixel of a data point; what lies beyond an axis is kept at its end."""
        across = min(max(self.x.place(x), 0.0), 1.0)
        up = min(max(self.y.place(y), 0.0), 1.0)
        wide = self.width - self.LEFT - self.RIGHT
        tall = self.height - self.TOP - self.BOTTOM
        return self.LEFT + across * wide, self.height - self.BOTTOM - up * tall

    def line(self, points: Iterable[Point], style: str, tip: str) -> None:
        """A line through the points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))
        self._add('<polyline class="{}" points="{}"><title>{}</title></polyline>', style, path, tip)

    def steps(self, points: Sequence[Point], end: float, style: str, tip: str) -> None:
        """A line that keeps each level until the next point, and the last one until `end`."""
        corners: list[Point] = []
        for (x, y), (until, _) in zip(points, [*points[1:], (end, 0.0)], strict=True):
            corners += [(x, y), (until, y)]
        self.line(corners, style, tip)

    def dot(
        self, x: Any, y: Any, style: str, tip: str, *, size: float = 4, fill: float = 1
    ) -> None:
        """A disc; `fill` is its opacity."""
        left, top = self.at(x, y)
        self._add(
            '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}" fill-opacity="{:.2f}">'
            "<title>{}</title></circle>",
            style, left, top, size, fill, tip,
        )  # fmt: skip

    def cross(self, x: Any, y: Any, style: str, tip: str) -> None:
        """A cross: something that failed."""
        left, top = self.at(x, y)
        self._add(
            '<path class="{}" d="M{:.1f},{:.1f}l8,8m0,-8l-8,8"><title>{}</title></path>',
            style, left - 4, top - 4, tip,
        )  # fmt: skip

    def tick(self, x: Any, style: str, tip: str) -> None:
        """A short stroke on the x axis, for something that has an x only."""
        left, bottom = self.at(x, self.y.low)
        self._add(
            '<path class="{}" d="M{:.1f},{:.1f}v-9"><title>{}</title></path>',
            style, left, bottom, tip,
        )  # fmt: skip

    def level(self, y: float, style: str, label: str) -> None:
        """A horizontal line over the whole width, labelled at its right end."""
        _, top = self.at(self.x.low, y)
        right = self.width - self.RIGHT
        self._add('<path class="{}" d="M{},{:.1f}H{}"/>', style, self.LEFT, top, right)
        self._text(right, top + 15, label, f"{style} label", "end")

    def rung(self, x: float) -> None:
        """A vertical line where trials may be stopped."""
        left, bottom = self.at(x, self.y.low)
        self._add('<path class="rung" d="M{:.1f},{:.1f}V{}"/>', left, bottom, self.TOP)

    def svg(self) -> Markup:
        """The chart as an `<svg>` element."""
        return _svg(self._marks, self.name, self.width, self.height)

    # -- the frame ----------------------------------------------------------------------------

    def _frame(self, x_label: str, y_label: str) -> None:
        bottom, right = self.height - self.BOTTOM, self.width - self.RIGHT
        for place, label in self.y.ticks(max(self.height // 60, 3)):
            top = bottom - place * (bottom - self.TOP)
            self._add('<path class="grid" d="M{},{:.1f}H{}"/>', self.LEFT, top, right)
            self._text(self.LEFT - 6, top + 4, label, "tick", "end")
        for place, label in self.x.ticks(max(self.width // 90, 3)):
            self._text(
                self.LEFT + place * (right - self.LEFT), bottom + 16, label, "tick", "middle"
            )
        self._add('<path class="frame" d="M{},{}V{}H{}"/>', self.LEFT, self.TOP, bottom, right)
        self._text(4, 16, y_label, "axis", "start")
        self._text(right, self.height - 6, x_label, "axis", "end")

    def _text(self, x: float, y: float, words: str, style: str, anchor: str) -> None:
        self._add(
            '<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>',
            style, x, y, anchor, words,
        )  # fmt: skip

    def _add(self, template: str, *values: Any) -> None:
        self._marks.append(Markup(template).format(*values))


def bars(rows: Sequence[tuple[str, float, float, float]], *, name: str, width: int = 440) -> Markup:
    """Horizontal bars (label, value, low, high), values in 0 to 1, a whisker from low to high."""
    step, left = 30, 150
    full = width - left - 60
    marks = []
    for row, (label, value, low, high) in enumerate(rows):
        top, end = row * step + 4, left + max(value, high) * full + 8
        whisker = f"M{left + low * full:.1f},{top + 9}h{(high - low) * full:.1f}"
        template = (
            f'<text class="axis" x="{left - 8}" y="{top + 14}" text-anchor="end">{{}}</text>'
            f'<rect class="bar" x="{left}" y="{top}" width="{value * full:.1f}" height="18"/>'
            f'<path class="whisker" d="{whisker}"/>'
            f'<text class="tick" x="{end:.1f}" y="{top + 14}">{100 * value:.0f} %</text>'
        )
        marks.append(Markup(template).format(label))
    return _svg(marks, name, width, len(rows) * step + 4)


def parallel(
    axes: Sequence[tuple[str, Axis]],
    lines: Sequence[tuple[Sequence[Any], str, float, str]],
    *,
    name: str,
) -> Markup:
    """Parallel coordinates: named axes, and lines (values, style, opacity, tip) across them."""
    gap, top, tall = 115, 40, 240
    width, bottom = gap * len(axes), top + tall
    marks = []
    for values, style, opacity, tip in lines:
        points = " ".join(
            f"{gap * (i + 0.5):.1f},{bottom - axis.place(value) * tall:.1f}"
            for i, ((_, axis), value) in enumerate(zip(axes, values, strict=True))
        )
        template = (
            '<polyline class="{}" stroke-opacity="{:.2f}" points="{}"><title>{}</title></polyline>'
        )
        marks.append(Markup(template).format(style, opacity, points, tip))
    for i, (label, axis) in enumerate(axes):
        x = gap * (i + 0.5)
        marks.append(
            Markup(
                '<text class="axis" x="{0}" y="18" text-anchor="middle">{1}</text>'
                '<path class="frame" d="M{0},{2}V{3}"/>'
            ).format(x, label, top, bottom)
        )
        for place, words in axis.ticks(4):
            template = '<text class="tick halo" x="{}" y="{:.1f}">{}</text>'
            marks.append(Markup(template).format(x + 5, bottom - place * tall + 4, words))
    return _svg(marks, name, width, bottom + 12, f' style="min-width:{width}px"')


def _svg(
    marks: Iterable[Markup], name: str, width: float, height: float, style: str = ""
) -> Markup:
    template = (
        '<svg role="img" aria-label="{}" viewBox="0 0 {} {}"{} '
        'xmlns="http://www.w3.org/2000/svg">{}</svg>'
    )
    return Markup(template).format(name, width, height, Markup(style), Markup("").join(marks))
