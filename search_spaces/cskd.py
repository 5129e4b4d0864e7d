"""What may vary in CS-KD: λ and T."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The paper takes λ of 1 and 3, T 4."""
    return {
        "kd.weight": Range(low=0.1, high=10.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
