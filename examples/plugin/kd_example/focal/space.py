"""What may vary in focal loss: γ."""

from search_spaces import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """Lin et al. tried γ from 0 to 5."""
    return {"kd.focus": Range(low=0.0, high=5.0)}
