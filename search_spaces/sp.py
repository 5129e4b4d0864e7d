"""What may vary in SP: β, and KD beside it."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """Tian et al. 2020 take β 3000, alone."""
    return {
        "kd.beta": Range(low=30, high=30000, log=True),
        "kd.kd_weight": Range(low=0.0, high=2.0),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
