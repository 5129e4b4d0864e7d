"""What may vary in BAN: λ.

How many generations there are, and what they learn, is yours to set: of more, each trial trains
those before the student again.
"""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """0 is BAN, 1 BAN+L."""
    return {"kd.label_weight": Range(low=0.0, high=2.0)}
