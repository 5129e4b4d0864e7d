"""What may vary in TTM: γ and b."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take γ of 0.1 and b of 45 for VGG."""
    return {
        "kd.gamma": Range(low=0.05, high=1.0, log=True),
        "kd.beta": Range(low=1.0, high=200.0, log=True),
    }
