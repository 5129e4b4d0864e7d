"""What may vary in plain cross-entropy: label smoothing."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """From none to three times the usual 0.1."""
    return {"kd.label_smoothing": Range(low=0.0, high=0.3)}
