"""What people chose (names of data sets, classes, licences), as text of other languages."""

import re
from typing import TYPE_CHECKING

from kd.text import visible

if TYPE_CHECKING:
    from rich.text import Text

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "{}$&#%_"},
    # Brackets after the end of a row would be its height.
    **{character: f"{{{character}}}" for character in "[]"},
}


def terminal(text: str, style: str = "") -> "Text":
    """For rich: no markup, and no control character reaches the terminal."""
    from rich.text import Text

    return Text(visible(text), style)


def markdown(text: str) -> str:
    """For a line, a heading or a cell of Markdown; an underscore within a word means nothing."""
    escaped = re.sub(r"([\\`*\[\]<>|~&$#])", r"\\\1", visible(text))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)


def fenced(language: str, code: str) -> str:
    """A block of code of Markdown, whose fence is longer than any in `code`."""
    fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall("`+", code)), 0)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"


def latex(text: str) -> str:
    """For a line or a cell of LaTeX."""
    return "".join(_LATEX.get(character, character) for character in visible(text))
