"""Jinja over the folder `templates`, with the words of this project for values."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from tuning.reports.wording import accuracy, cut, duration, short, value_of


def environment() -> Environment:
    """What both pages are rendered by: autoescaped; a name that is not given is an error."""
    found = Environment(
        loader=PackageLoader("tuning.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"accuracy": accuracy, "short": short, "duration": duration, "cut": cut}
    found.globals |= {"value_of": value_of}
    return found
