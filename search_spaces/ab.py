"""What may vary in AB: KD beside CE, after the boundaries are learnt."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """Tian et al. 2020 take CE alone."""
    return {
        "kd.kd_weight": Range(low=0.0, high=2.0),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
