"""What may vary in DIST: β, γ and τ; w only multiplies both."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take β and γ of 1, τ of 1 and 4."""
    return {
        "kd.beta": Range(low=0.1, high=10.0, log=True),
        "kd.gamma": Range(low=0.1, high=10.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
