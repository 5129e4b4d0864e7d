"""What may vary in NKD: γ and T."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take γ from 1 to 3.5, T of 1 and 3."""
    return {
        "kd.gamma": Range(low=0.1, high=10.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
