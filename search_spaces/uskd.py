"""What may vary in USKD: α, β and μ."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take α of 0.1 and 1, β 0.1, μ of 0.005 and 0.1."""
    return {
        "kd.alpha": Range(low=0.01, high=3.0, log=True),
        "kd.beta": Range(low=0.01, high=3.0, log=True),
        "kd.mu": Range(low=0.001, high=1.0, log=True),
    }
