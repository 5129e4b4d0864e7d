"""What may vary in WTTM: γ and b."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take γ of 0.2 and b of 4 beside CRD."""
    return {
        "kd.gamma": Range(low=0.05, high=1.0, log=True),
        "kd.beta": Range(low=0.1, high=50.0, log=True),
    }
