"""The HTML report in a real browser: no error, no request, nothing too wide, no text on text."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import dump, needs_chromium
from synthetic import sweep_result

from search_spaces import Choice
from tuning.records.result import SweepResult
from tuning.reports.axis import Axis
from tuning.reports.charts import Chart, bars, parallel
from tuning.reports.comparison import render as render_comparison
from tuning.reports.page import render
from tuning.reports.templating import environment

WIDTHS = (390, 820, 1440)

pytestmark = needs_chromium

# Frames, because a window of Chromium is never narrower than 500 pixels.
MEASURE = """<!doctype html><title></title><body>{frames}<script>
window.addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const view = frame.contentWindow, root = view.document.documentElement;
    const all = selector => [...root.querySelectorAll(selector)];
    const size = text => parseFloat(view.getComputedStyle(text).fontSize) * text.getScreenCTM().a;
    const boxes = svg => [...svg.querySelectorAll("text")].map(text =>
      [text.firstChild.nodeValue, text.getBoundingClientRect()]);
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
    const over = all("svg").flatMap(svg => {{
      const texts = boxes(svg);
      return texts.flatMap(([word, a], i) =>
        texts.slice(i + 1).filter(([, b]) => meet(a, b)).map(([other]) => [word, other]));
    }});
    const outside = all("svg").flatMap(svg => {{
      const room = svg.getBoundingClientRect();
      return boxes(svg).filter(([, b]) => b.left < room.left - 2 || b.right > room.right + 2)
        .map(([word]) => word);
    }});
    return {{
      name: frame.name,
      width: frame.clientWidth,
      content: root.scrollWidth,
      background: view.getComputedStyle(view.document.body).backgroundColor,
      blank: all("svg").filter(svg => svg.getBoundingClientRect().height < 5).length,
      tallest: Math.max(...all("svg").map(svg => svg.getBoundingClientRect().height)),
      smallest: Math.min(...all("svg text").map(size)),
      requests: view.performance.getEntriesByType("resource").map(entry => entry.name),
      over, outside,
    }};
  }});
  document.title = JSON.stringify(found);
}});
</script>"""


def browse(
    folder: Path, pages: str | dict[str, str], *flags: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """What the pages measure at every width, and the lines of their console."""
    style = "height:800px;border:0;width:"
    frames = "".join(
        f'<iframe name="{name}" style="{style}{w}px" srcdoc="{html.escape(page)}"></iframe>'
        for name, page in (pages if isinstance(pages, dict) else {"": pages}).items()
        for w in WIDTHS
    )
    outer = folder / "outer.html"
    outer.write_text(MEASURE.format(frames=frames), encoding="utf-8")
    offline = "--host-resolver-rules=MAP * ~NOTFOUND"
    flags = (offline, "--virtual-time-budget=5000", *flags)
    dom, console = dump(folder, outer.as_uri(), *flags)
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title
    return json.loads(html.unescape(title[1])), console


ODD = ("x" * 250, "<b>bold</b> & Söhne, \U0001f600 " * 10, "\u0645\u0631\u062d\u0628\u0627 " * 40)
"""Names of what a person may call a folder: long, markup, right to left."""


def called(result: SweepResult, name: str) -> SweepResult:
    """The sweep on a folder of images of that name, with reasons and a machine of it."""
    for trial in result.of("stopped", "failed"):
        trial.reason = name
    settings = result.sweep.settings
    base = replace(settings.base, dataset=f"parquet:/data/{name}")
    plain = re.sub(r"\W", "-", name).strip("-")
    settings = replace(settings, base=base, name=plain[:100])
    facts = {"machine": name, "git_commit": "0" * 40}
    return SweepResult(replace(result.sweep, settings=settings, environment=facts), result.trials)


def of_one_hyperparameter(result: SweepResult) -> SweepResult:
    searched = {"kd.alpha": result.sweep.searched["kd.alpha"]}
    return SweepResult(replace(result.sweep, searched=searched), result.trials)


def all_failed(result: SweepResult) -> SweepResult:
    for trial in result.trials:
        trial.state, trial.reason, trial.curve = "failed", "out of memory", {1: 20.0}
    return result


def all_equal(result: SweepResult) -> SweepResult:
    for trial in result.trials:
        trial.curve = dict.fromkeys(trial.curve, 100.0)
    return result


def many_choices(result: SweepResult) -> SweepResult:
    words = Choice((*(f"schedule number {i}" for i in range(24)), "linear", "constant"))
    searched = {**result.sweep.searched, "kd.alpha_schedule": words}
    return SweepResult(replace(result.sweep, searched=searched), result.trials)


def in_progress(result: SweepResult) -> SweepResult:
    for trial in result.trials[-4:]:
        trial.state, trial.ended, trial.curve = "running", None, {1: 30.0}
    return result


def drawings() -> str:
    """Charts of hyperparameters with long names, in the page's style."""
    long = [f"{'a-long-name-' * 20}{i}" for i in range(6)]
    words = Axis(categories=tuple(long))
    chart = Chart(words, words, name="long", x_label=long[0], y_label=long[1], width=310)
    shares = [(name, 0.3, 0.1, 0.6) for name in long]
    axes = [*((name, words) for name in long), ("val acc (%)", Axis.of_accuracies([80, 90]))]
    lines = [([*long, 85.0], "best", 1.0, "a trial")]
    body = f"{chart.svg()}{bars(shares, name='bars')}"
    body += f'<div class="scroll">{parallel(axes, lines, name="parallel")}</div>'
    style = environment().get_template("style.css").render()
    return f"<!doctype html><style>{style}</style><body>{body}"


PAGES: dict[str, Callable[[Path], str]] = {
    "usual": lambda folder: render(sweep_result(folder / "lsskd-resnet8-digits-20260101-120000")),
    "one hyperparameter": lambda folder: render(of_one_hyperparameter(sweep_result(folder))),
    "one trial": lambda folder: render(sweep_result(folder, trials=1)),
    "one epoch": lambda folder: render(sweep_result(folder, trials=12, epochs=1)),
    "200 trials": lambda folder: render(sweep_result(folder, trials=200, epochs=40)),
    "all failed": lambda folder: render(all_failed(sweep_result(folder))),
    "100 %": lambda folder: render(all_equal(sweep_result(folder))),
    "many choices": lambda folder: render(many_choices(sweep_result(folder)), live=True),
    "in progress": lambda folder: render(in_progress(sweep_result(folder)), live=True),
    **{
        f"called {i}": lambda folder, name=name: render(called(sweep_result(folder), name))
        for i, name in enumerate(ODD)
    },
    "two sweeps": lambda folder: compared(folder, 2),
    "seven sweeps": lambda folder: compared(folder, 7),
    "odd sweeps": lambda folder: render_comparison(
        [called(sweep_result(folder, seed=seed), name) for seed, name in enumerate(ODD)]
    ),
    "long words": lambda folder: drawings(),
}


def compared(folder: Path, count: int) -> str:
    return render_comparison([sweep_result(folder / f"sweep-{i}", seed=i) for i in range(count)])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_opens_at_three_widths(tmp_path: Path, theme: str) -> None:
    pages = {name: make(tmp_path) for name, make in PAGES.items()}
    dark = theme == "dark"
    flags = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    found, console = browse(tmp_path, pages, *flags)
    assert console == []
    assert [(f["name"], f["width"]) for f in found] == [(n, w) for n in pages for w in WIDTHS]
    for frame in found:
        assert frame["content"] <= frame["width"], frame
        assert frame["blank"] == 0, frame
        assert frame["tallest"] < 500, frame
        assert frame["requests"] == [], frame
        assert frame["smallest"] >= 9, frame
        assert frame["over"] == [], frame
        assert frame["outside"] == [], frame
        assert frame["background"] == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


USE = """<script>
const heads = [...document.querySelectorAll("table.sorts th[scope=col]")];
const click = words => heads.find(th => th.textContent === words).querySelector("button").click();
const column = i => [...document.querySelectorAll("table.sorts tbody tr")]
  .map(row => row.cells[i].textContent);
const found = [column(0)];
click("trial"); found.push(column(0));
click("val acc (%)"); found.push(column(3));
click("val acc (%)"); found.push(column(3));
const input = document.querySelector("input[type=search]");
input.value = "STOPPED low"; input.dispatchEvent(new Event("input")); found.push(column(1));
dispatchEvent(new Event("beforeprint"));
found.push([...document.querySelectorAll("details")].map(each => String(each.open)));
document.title = JSON.stringify(found);
</script></body>"""


def test_trials_are_sorted_and_filtered(tmp_path: Path) -> None:
    result = sweep_result(tmp_path)
    result.trials[5].curve, result.trials[5].state = {}, "failed"
    page = tmp_path / "page.html"
    page.write_text(render(result).replace("</body>", USE), encoding="utf-8")
    dom, console = dump(tmp_path, page.as_uri(), "--virtual-time-budget=5000")
    assert console == []
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title
    first, by_number, best, worst, stopped, details = json.loads(html.unescape(title[1]))
    assert sorted(first, key=int) == by_number == [str(n) for n in range(16)]
    scores = [trial.score for trial in result.trials if trial.score is not None]
    assert best == [f"{score:.2f}" for score in sorted(scores, reverse=True)] + ["–"]
    assert worst == [f"{score:.2f}" for score in sorted(scores)] + ["–"]
    assert stopped == ["stopped"] * len(result.of("stopped"))
    assert details == ["true", "true"]


def test_without_its_script_the_page_is_whole(tmp_path: Path) -> None:
    page = render(sweep_result(tmp_path))
    before, _, after = page.partition("<script>")
    assert "<button" not in before
    assert "<input" not in before
    assert after.partition("</script>")[2].split() == ["</body>", "</html>"]


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
