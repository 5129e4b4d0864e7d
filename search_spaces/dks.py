"""What may vary in DKS: β and T."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The paper takes 1 for both; others compare it at T 4."""
    return {
        "kd.beta": Range(low=0.1, high=10.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
