"""What may vary in HSSAKD: the weights of both divergences, and T."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take 1 for both weights, and T 3."""
    return {
        "kd.alpha": Range(low=0.1, high=10.0, log=True),
        "kd.beta": Range(low=0.1, high=10.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
