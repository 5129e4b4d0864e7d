"""What may vary in CRD: β, τ, and KD beside it."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The paper takes β 0.8 and τ 0.07, and 1 of KD where both are taken."""
    return {
        "kd.beta": Range(low=0.05, high=5.0, log=True),
        "kd.contrast_temperature": Range(low=0.02, high=0.5, log=True),
        "kd.kd_weight": Range(low=0.0, high=2.0),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
