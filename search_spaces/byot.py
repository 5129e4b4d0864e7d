"""What may vary in BYOT: α, β and T."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The public code takes α 0.1, β 10⁻⁶, T 3."""
    return {
        "kd.alpha": Range(low=0.01, high=0.95),
        "kd.beta": Range(low=1e-8, high=1e-2, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
