"""How a chart is drawn as SVG text, whatever it shows: marks over axes, bars, parallel axes.

Drawn by us, so that a report is one file that needs no script or network. Colours come from the
page's style sheet by class (`best`, `paper`, `other`, `stopped`, `failed`), so one chart serves
light, dark and print. Every mark tells its numbers in a `<title>`. Words are cut where they would
run into others, and the title tells the whole.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from tuning.reports.axis import Axis
from tuning.reports.marks import mark
from tuning.reports.wording import cut

Point = tuple[float, float]


LETTER = 7.4
"""About the width of a letter, in pixels of a drawing."""
LINE = 18
"""The height of a line of words."""


class Chart:
    """Marks over two axes. Coordinates given to the methods are data values."""

    RIGHT, TOP, BOTTOM = 14, 34, 40

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
        rows = _thinned(y.ticks(max(height // 60, 3)), (height - self.TOP - self.BOTTOM) / LINE)
        self._rows = [(place, cut(label, 14)) for place, label in rows]
        self.left = max(46, 12 + round(LETTER * max(len(label) for _, label in self._rows)))
        self._marks: list[Markup] = []
        self._labelled: list[Point] = []
        self._frame(x_label, y_label)

    def at(self, x: Any, y: Any) -> Point:
        """The pixel of a data point; what lies beyond an axis is kept at its end."""
        across = min(max(self.x.place(x), 0.0), 1.0)
        up = min(max(self.y.place(y), 0.0), 1.0)
        wide = self.width - self.left - self.RIGHT
        tall = self.height - self.TOP - self.BOTTOM
        return self.left + across * wide, self.height - self.BOTTOM - up * tall

    def series(self, points: Sequence[Point], end: float, style: str, shape: str, tip: str) -> None:
        """`steps`, with a mark of the shape where each level begins."""
        self.steps(points, end, style, tip)
        for point in points:
            self._marks.append(mark(*self.at(*point), style, tip, size=3.6, shape=shape))

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
        self,
        x: Any,
        y: Any,
        style: str,
        tip: str,
        *,
        size: float = 4,
        fill: float = 1,
        shape: str = "",
    ) -> None:
        """A mark of the style's shape, or of another one; `fill` is its opacity."""
        self._marks.append(mark(*self.at(x, y), style, tip, size=size, fill=fill, shape=shape))

    def label(self, x: Any, y: Any, words: str) -> None:
        """A word or two above a mark; none where they would run into another label."""
        across, up = self.at(x, y)
        wide = LETTER * len(words)
        if any(abs(across - x) < wide + 4 and abs(up - y) < LINE for x, y in self._labelled):
            return
        self._labelled.append((across, up))
        inner = min(max(across, self.left + wide / 2), self.width - self.RIGHT - wide / 2)
        self._text(inner, up - 8, words, "label", "middle")

    def tick(self, x: Any, style: str, tip: str) -> None:
        """A mark on the x axis, for something that has an x only: a stroke, a cross if failed."""
        left, bottom = self.at(x, self.y.low)
        if style == "failed":
            self._marks.append(mark(left, bottom - 5, style, tip, size=3))
            return
        self._add(
            '<path class="{}" d="M{:.1f},{:.1f}v-9"><title>{}</title></path>',
            style, left, bottom, tip,
        )  # fmt: skip

    def level(self, y: float, style: str, label: str) -> None:
        """A horizontal line over the whole width, labelled at its right end."""
        _, top = self.at(self.x.low, y)
        right = self.width - self.RIGHT
        self._add('<path class="{}" d="M{},{:.1f}H{}"/>', style, self.left, top, right)
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
        for place, label in self._rows:
            top = bottom - place * (bottom - self.TOP)
            self._add('<path class="grid" d="M{},{:.1f}H{}"/>', self.left, top, right)
            self._text(self.left - 6, top + 4, label, "tick", "end")
        wide = right - self.left
        places = self.x.ticks(max(self.width // 90, 3))
        if self.x.categories:
            places = _spread(places, wide)
        for place, label in places:
            self._text(self.left + place * wide, bottom + 16, label, "tick", "middle")
        self._add('<path class="frame" d="M{},{}V{}H{}"/>', self.left, self.TOP, bottom, right)
        most = int(self.width / LETTER) - 2
        self._text(4, 16, cut(y_label, most), "axis", "start")
        self._text(right, self.height - 6, cut(x_label, most), "axis", "end")

    def _text(self, x: float, y: float, words: str, style: str, anchor: str) -> None:
        self._add(
            '<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>',
            style, x, y, anchor, words,
        )  # fmt: skip

    def _add(self, template: str, *values: Any) -> None:
        self._marks.append(Markup(template).format(*values))


Places = list[tuple[float, str]]


def _thinned(places: Places, most: float) -> Places:
    """At most so many of the places, evenly."""
    return places[:: max(math.ceil(len(places) / most), 1)]


def _spread(places: Places, wide: float) -> Places:
    """The categories' labels, cut to the room that each has; where that is little, some of them."""
    shown = _thinned(places, wide / (6 * LETTER))
    return [(place, cut(label, int(wide / len(shown) / LETTER) - 1)) for place, label in shown]


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
        marks.append(Markup(template).format(cut(label, int(left / LETTER) - 3)))
    return _svg(marks, name, width, len(rows) * step + 4)


GAP = 115
"""Pixels between two parallel axes."""


def parallel(
    axes: Sequence[tuple[str, Axis]],
    lines: Sequence[tuple[Sequence[Any], str, float, str]],
    *,
    name: str,
) -> Markup:
    """Parallel coordinates: named axes, and lines (values, style, opacity, tip) across them.

    A line goes past an axis on which its value is None.
    """
    top, tall = 40, 240
    width, bottom = GAP * len(axes), top + tall
    marks = []
    for values, style, opacity, tip in lines:
        corners = [
            (GAP * (i + 0.5), bottom - axis.place(value) * tall)
            for i, ((_, axis), value) in enumerate(zip(axes, values, strict=True))
            if value is not None
        ]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        template = (
            '<polyline class="{}" stroke-opacity="{:.2f}" points="{}"><title>{}</title></polyline>'
        )
        marks.append(Markup(template).format(style, opacity, points, tip))
        if style in ("best", "paper"):
            marks += [mark(x, y, style, tip) for x, y in corners]
    for i, (label, axis) in enumerate(axes):
        x = GAP * (i + 0.5)
        marks.append(
            Markup(
                '<text class="axis" x="{0}" y="18" text-anchor="middle">{1}'
                "<title>{4}</title></text>"
                '<path class="frame" d="M{0},{2}V{3}"/>'
            ).format(x, cut(label, 14), top, bottom, label)
        )
        for place, words in _thinned(axis.ticks(4), tall / LINE):
            template = '<text class="tick halo" x="{}" y="{:.1f}">{}</text>'
            y = bottom - place * tall + 4
            marks.append(Markup(template).format(x + 7, y, cut(words, 12)))
    return _svg(marks, name, width, bottom + 12, least=width)


def key(style: str, shape: str) -> Markup:
    """A line with a mark, as long as a word, for a table."""
    line = Markup('<polyline class="{}" points="0,7 34,7"/>').format(style)
    template = '<svg class="key" viewBox="0 0 34 14" aria-hidden="true">{}{}</svg>'
    return Markup(template).format(line, mark(17, 7, style, size=3.6, shape=shape))


def _svg(
    marks: Iterable[Markup], name: str, width: float, height: float, *, least: float = 0
) -> Markup:
    """The drawing, which grows with the page, up to half as large again as it was drawn."""
    template = (
        '<svg role="img" aria-label="{}" viewBox="0 0 {} {}" class="{}" '
        'style="min-width:{}px;max-width:{}px" xmlns="http://www.w3.org/2000/svg">{}</svg>'
    )
    large = "large" if width >= 400 and not least else "small"
    most = round(1.5 * width)
    return Markup(template).format(name, width, height, large, least, most, Markup("").join(marks))
