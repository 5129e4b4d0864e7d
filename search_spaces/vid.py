"""What may vary in VID: β, the first variance, and KD beside it."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """Tian et al. 2020 take β 1 and a variance of 5."""
    return {
        "kd.beta": Range(low=0.01, high=10.0, log=True),
        "kd.variance": Range(low=0.5, high=20.0, log=True),
        "kd.kd_weight": Range(low=0.0, high=2.0),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
