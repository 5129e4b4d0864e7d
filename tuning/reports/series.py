"""How the series of a comparison differ: each has a colour, a dash and a shape of its own."""

from tuning.reports.marks import SERIES

COLOURS, DASHES = 7, 5
"""How many colours and dashes the style sheet has; with a shape each, 35 series differ."""


def look(index: int) -> tuple[str, str]:
    """The class of a series' line and marks, and the shape of its marks."""
    return f"series{index % COLOURS} dash{index % DASHES}", SERIES[index % len(SERIES)]
