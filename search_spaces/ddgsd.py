"""What may vary in DDGSD: the weights of its three terms, and T."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The paper takes 1 for CE and the divergences, μ 0.0005; the public code half of CE."""
    return {
        "kd.ce_weight": Range(low=0.1, high=3.0, log=True),
        "kd.beta": Range(low=0.1, high=10.0, log=True),
        "kd.mu": Range(low=1e-5, high=1.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
