"""What may vary in FitNet: β, and KD beside it."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """Tian et al. 2020 take β 100, of the second stage."""
    return {
        "kd.beta": Range(low=1.0, high=1000.0, log=True),
        "kd.kd_weight": Range(low=0.0, high=2.0),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
