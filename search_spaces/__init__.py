"""What a search may vary: one file per method, over the configuration classes of `kd`.

A method's file has a function `domains(stages)`: dotted names of a `TrainConfig` and what each
may be, for a backbone of that many stages. Nothing here imports torch or Optuna.
"""

from search_spaces._conditions import in_words, searched
from search_spaces._domains import Choice, Domain, Range, RangeAbove
from search_spaces._load import load_space
from search_spaces._older import came_later, written_out
from search_spaces._rows import load_rows
from search_spaces._space import SPAN, Space

__all__ = [
    "SPAN",
    "Choice",
    "Domain",
    "Range",
    "RangeAbove",
    "Space",
    "came_later",
    "in_words",
    "load_rows",
    "load_space",
    "searched",
    "written_out",
]
