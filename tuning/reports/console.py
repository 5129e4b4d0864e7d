"""Where sentences and tables are printed: a terminal, a file, or a notebook's cell."""

from rich.console import Console


def console() -> Console:
    """Standard output; in a notebook as plain text, so that it is lines as elsewhere."""
    found = Console(highlight=False)
    if found.is_jupyter:
        # A notebook says by its environment that it has a terminal's colours; it has no cursor.
        return Console(highlight=False, force_jupyter=False, force_terminal=False)
    return found
