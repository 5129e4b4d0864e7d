"""What may vary in FRSKD: α, β and T."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take α 2, β 100, T 4 on CIFAR-100."""
    return {
        "kd.alpha": Range(low=0.1, high=10.0, log=True),
        "kd.beta": Range(low=1.0, high=1000.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
