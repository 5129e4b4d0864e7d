"""The pages: each one is in the index, and what one names beside it is there."""

import re
from pathlib import Path

import pytest

from kd.methods import method_names

ROOT = Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    ROOT / "benchmarks" / "RESULTS.md",
]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def headings(page):
    """The anchors of its headings, as they are made on the web."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {name for name, _ in LINK.findall(index)}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - linked == {"README.md"}
    assert "(docs/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page):
    for name, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / name if name else page
        assert target.exists(), name
        if anchor:
            assert anchor in headings(target), f"{name}#{anchor}"


def test_every_method_has_its_paper():
    papers = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8").partition("## Papers")[2]
    assert {"ce", *re.findall(r"`(\w+)`", papers)} == {*method_names(), "standardise"}
