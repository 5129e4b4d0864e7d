"""What may vary in label smoothing: ε."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """Around the usual 0.1."""
    return {"kd.label_smoothing": Range(low=0.01, high=0.5, log=True)}
