"""What may vary in SSKD: its weights, both T, and what is left out of the similarities."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take 0.1, 0.9, 2.7 and 10, T of 4 and 0.5, and keep three in four."""
    return {
        "kd.ce_weight": Range(low=0.01, high=1.0, log=True),
        "kd.kd_weight": Range(low=0.1, high=10.0, log=True),
        "kd.turned_weight": Range(low=0.1, high=30.0, log=True),
        "kd.similarity_weight": Range(low=0.5, high=100.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
        "kd.similarity_temperature": Range(low=0.1, high=2.0, log=True),
        "kd.similarity_kept": Range(low=0.25, high=1.0),
    }
