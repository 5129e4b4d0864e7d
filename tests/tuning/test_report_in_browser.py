"""The HTML report in a real browser: no error, no request, nothing wider than the screen."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import dump, needs_chromium
from synthetic import sweep_result

from tuning.reports.comparison import render as render_comparison
from tuning.reports.page import render

WIDTHS = (390, 820, 1440)

pytestmark = needs_chromium

# Frames, because a window of Chromium is never narrower than 500 pixels.
MEASURE = """<!doctype html><title></title><body>{frames}<script>
window.addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const view = frame.contentWindow, root = view.document.documentElement;
    const all = selector => [...root.querySelectorAll(selector)];
    const size = text => parseFloat(view.getComputedStyle(text).fontSize) * text.getScreenCTM().a;
    return {{
      width: frame.clientWidth,
      content: root.scrollWidth,
      background: view.getComputedStyle(view.document.body).backgroundColor,
      blank: all("svg").filter(svg => svg.getBoundingClientRect().height < 5).length,
      smallest: Math.min(...all("svg text").map(size)),
      requests: view.performance.getEntriesByType("resource").map(entry => entry.name),
    }};
  }});
  document.title = JSON.stringify(found);
}});
</script>"""


def browse(folder: Path, page: str, *flags: str) -> tuple[list[dict[str, Any]], list[str]]:
    """What the page measures at every width, and the lines of its console."""
    style = "height:800px;border:0;width:"
    page = html.escape(page)
    frames = "".join(f'<iframe style="{style}{w}px" srcdoc="{page}"></iframe>' for w in WIDTHS)
    outer = folder / "outer.html"
    outer.write_text(MEASURE.format(frames=frames), encoding="utf-8")
    offline = "--host-resolver-rules=MAP * ~NOTFOUND"
    flags = (offline, "--virtual-time-budget=5000", *flags)
    dom, console = dump(folder, outer.as_uri(), *flags)
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title
    return json.loads(html.unescape(title[1])), console


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_report_opens_at_three_widths(tmp_path: Path, theme: str) -> None:
    page = render(sweep_result(tmp_path / "lsskd-resnet8-digits-20260101-120000"))
    dark = theme == "dark"
    flags = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    found, console = browse(tmp_path, page, *flags)
    assert console == []
    assert [frame["width"] for frame in found] == list(WIDTHS)
    for frame in found:
        assert frame["content"] <= frame["width"]
        assert frame["blank"] == 0
        assert frame["requests"] == []
        assert frame["smallest"] >= 9
        assert frame["background"] == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


def test_comparison_opens_at_three_widths(tmp_path: Path) -> None:
    results = [sweep_result(tmp_path / f"sweep-{seed}", seed=seed) for seed in range(3)]
    found, console = browse(tmp_path, render_comparison(results))
    assert console == []
    for frame in found:
        assert frame["requests"] == []
        assert frame["content"] <= frame["width"]
        assert frame["blank"] == 0


def test_the_browser_would_tell(tmp_path: Path) -> None:
    """The same eyes see an error, a request and a page that is too wide."""
    bad = (
        "<body><script>console.error('broken')</script><div style='width:3000px'>wide</div>"
        "<img src='http://example.invalid/picture.png'><svg height='0'><text>x</text></svg>"
    )
    found, console = browse(tmp_path, bad)
    assert any("broken" in line for line in console)
    for frame in found:
        assert frame["requests"] == ["http://example.invalid/picture.png"]
        assert frame["content"] > frame["width"]
        assert frame["blank"] == 1
