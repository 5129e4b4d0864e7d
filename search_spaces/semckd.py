"""What may vary in SemCKD: β, and KD beside it."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take β 400, on ImageNet 50, and KD with 1."""
    return {
        "kd.beta": Range(low=10.0, high=4000.0, log=True),
        "kd.kd_weight": Range(low=0.0, high=2.0),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
