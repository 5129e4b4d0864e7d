"""What may vary in DR-KD: α and τ."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The paper publishes α between 0.10 and 0.95, τ of 6 and 20."""
    return {
        "kd.alpha": Range(low=0.05, high=0.99),
        "kd.temperature": Range(low=2.0, high=40.0, log=True),
    }
