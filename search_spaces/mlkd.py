"""What may vary in MLKD: both weights and T₀."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take 0.1 and 0.9, or 0.5 and 0.5, T₀ of 1 and 4; with standardisation k is 9."""
    return {
        "kd.ce_weight": Range(low=0.05, high=1.0, log=True),
        "kd.kd_weight": Range(low=0.1, high=20.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
