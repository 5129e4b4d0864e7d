"""Names that are markup somewhere: on cards, in tables, on the terminal."""

import io
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console
from synthetic import sweep_result

from kd.config import TrainConfig
from kd.text import visible
from tuning.best import print_table
from tuning.exporters.model_card import model_card
from tuning.records.result import SweepResult
from tuning.reports import live_rows
from tuning.reports.comparison import table
from tuning.reports.escapes import fenced, latex, markdown, terminal
from tuning.reports.live_table import LiveTable
from tuning.reports.summary import print_cells, print_summary
from tuning.tracking.promoted import Best

HOSTILE = [
    "[/red]",
    "[bold red]x[/] [link=http://a]b[/link]",
    "\x1b[2J\x1b]0;title\x07",
    "a | b\n| c |\r\n\n# d",
    "<script>alert(1)</script> &amp; <!-- ",
    "**x** __y__ _z_ ~~w~~ `c` [t](http://u) ![i](j) $m$ \\",
    "```\n```sh\nrm -rf /",
    "100% of $5 & #1 _a_ {b} ~c^d \\end{tabular} [2cm] <e|f>",
    "wrn_16_2 \u2028 \u0085 \U0001f600 é",
]
CONFIG = TrainConfig.paper("lsskd", "resnet8", "digits", epochs=9)
DESCRIPTION = {
    "image_size": (8, 8),
    "num_classes": 2,
    "in_channels": 3,
    "mean": [0.5] * 3,
    "std": [0.2] * 3,
    "val_acc": 80.0,
    "epochs": 9,
}


def result_on(dataset: str, folder: Path) -> SweepResult:
    result = sweep_result(folder, trials=3)
    base = replace(result.sweep.settings.base, dataset=dataset)
    trials = [replace(t, config=t.config | {"precision": dataset}) for t in result.trials]
    settings = replace(result.sweep.settings, base=base)
    return SweepResult(replace(result.sweep, settings=settings), trials)


def read(text: str) -> list[Token]:
    return MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(text)


def cells(text: str) -> list[str]:
    """What a reader sees in each cell of the tables; nothing in them is markup."""
    tokens = read(text)
    found = []
    for before, token in pairwise(tokens):
        if before.type in ("td_open", "th_open"):
            children = token.children or []
            kinds = {"text", "text_special", "softbreak", "strong_open", "strong_close"}
            assert {child.type for child in children} <= kinds, token.content
            found.append("".join(child.content for child in children))
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_card_shows_names_as_they_are(name: str) -> None:
    config = replace(CONFIG, dataset=f"digits{name}")
    description = DESCRIPTION | {"class_names": ("plain", name)}
    file = Path(f"{name.replace('/', ':')}.safetensors")
    card = model_card(file, "safetensors", config, description, licence=name)
    found = cells(card)
    assert found[2:6] == ["data set", visible(f"digits{name}").strip(), *found[4:6]]
    assert found[5] == visible(name).strip()
    assert found[7] == f"plain, {visible(name)}".strip()
    tokens = read(card)
    headings = [after for t, after in pairwise(tokens) if t.type[:4] == "head"]
    assert [t.content for t in headings][::2][1:] == ["Use", "Score", "Data", "Training"]
    blocks = [(token.info, token.content) for token in tokens if token.type == "fence"]
    assert {info for info, _ in blocks} == {"python", "yaml"}
    [yaml] = [content for info, content in blocks if info == "yaml"]
    assert TrainConfig.from_dict(_yaml(yaml)).dataset == config.dataset
    loaded: list[str] = []
    code = {word: next(c for _, c in blocks if word in c) for word in ("load_file", "class_names")}
    load = code["load_file"].replace("from safetensors.torch import load_file\n", "")
    does = {"load_state_dict": lambda self, given: None, "eval": lambda self: self}
    model = type("Model", (), does)()
    exec(load, {"load_file": loaded.append, "model": model})
    assert loaded == [file.name]
    [named] = [line for line in code["class_names"].splitlines() if line.startswith("class_names")]
    scope: dict[str, object] = {}
    exec(named, scope)
    assert scope["class_names"] == ["plain", name]


def _yaml(text: str) -> dict[str, object]:
    import yaml

    found: dict[str, object] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_markdown_table_keeps_its_rows(name: str, tmp_path: Path) -> None:
    found = cells(table([result_on(name, tmp_path / "s")], "markdown"))
    assert found[:2] == [f"val accuracy (%), {visible(name)}".strip(), "resnet8"]
    assert len(found) == 6


@pytest.mark.parametrize("name", HOSTILE)
def test_a_latex_table_escapes_whatever_means_something(name: str, tmp_path: Path) -> None:
    head = table([result_on(name, tmp_path / "s")], "latex").splitlines()[2]
    (first,) = re.findall(r"val accuracy \(\\%\), (.*) & resnet8 \\\\$", head)
    assert first == latex(name)
    commands = r"\\text(backslash|asciitilde|asciicircum|less|greater|bar)\{\}"
    left = re.sub(commands + r"|\\[{}$&#%_]|\{[\[\]]\}", "", first)
    assert not re.search(r"[\\{}$&#%_~^<>|\[\]\n\r\x1b]", left)


@pytest.mark.parametrize("name", HOSTILE)
def test_the_terminal_shows_names_as_they_are(name: str, tmp_path: Path) -> None:
    result = result_on(name, tmp_path / "s")
    best = Best(
        cell="c", version=1, created=0.0, score=80.0, sweep=name, trial=1, trials=2,
        confirmed=name, protocol=(), config=replace(CONFIG, dataset=name),
    )  # fmt: skip
    live = LiveTable(result.sweep, result.trials)
    shown = {
        "best": lambda console: print_table([best], [best], console),
        "cells": lambda console: print_cells([result, result], console),
        "title": lambda console: console.print(live_rows.title(result.sweep, 400)),
        "note": lambda console: LiveTable(result.sweep, console=console).note(name),
    }
    for where, show in shown.items():
        assert visible(name) in printed(show), where
    for show in (lambda c: print_summary(result, c), lambda c: c.print(live)):
        assert "val acc" in printed(show)
    failed = replace(result.trials[0], state="failed", reason=name)
    told = printed(lambda c: print_summary(SweepResult(result.sweep, [failed]), c))
    assert visible(name) in told


def printed(show: "object") -> str:
    """What is printed on a colour terminal; only rich's own sequences are removed."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=600, highlight=False)
    show(console)  # type: ignore[operator]
    plain = re.sub(r"\x1b\[[\d;]*m", "", file.getvalue())
    assert "\x1b" not in plain
    assert "\x07" not in plain
    return plain


@pytest.mark.parametrize("name", HOSTILE)
def test_one_escape_for_each_language(name: str) -> None:
    (paragraph,) = [t for t in read(f"x {markdown(name)} x") if t.type == "inline"]
    assert "".join(c.content for c in paragraph.children or []) == f"x {visible(name)} x"
    assert terminal(name).plain == visible(name)
    (fence,) = [t for t in read(fenced("sh", name)) if t.type == "fence"]
    assert (fence.info, fence.content.strip()) == ("sh", read(fenced("", name))[0].content.strip())


def test_an_underscore_within_a_word_stays() -> None:
    assert markdown("wrn_16_2 in best_config.yaml") == "wrn_16_2 in best_config.yaml"
