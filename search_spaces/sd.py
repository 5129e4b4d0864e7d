"""What may vary in SD: λ_T and T.

The cycles are yours to set: in their midst, trials that have others do not compare.
"""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """λ_T beside a λ_S of 1, and T; the published values were not at hand, so wide."""
    return {
        "kd.kd_weight": Range(low=0.1, high=10.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
