"""What may vary in Tf-KD_self: α, τ and m."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take α from 0.4 to 0.95, τ of 6 and 20, m from 1 to 100."""
    return {
        "kd.alpha": Range(low=0.05, high=0.99),
        "kd.temperature": Range(low=2.0, high=40.0, log=True),
        "kd.multiplier": Range(low=0.5, high=200.0, log=True),
    }
