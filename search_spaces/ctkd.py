"""What may vary in CTKD: the weights, and the range of the temperature."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take weights of 0.1 and 0.9, or 1 and 1, T from 1 to 21."""
    return {
        "kd.ce_weight": Range(low=0.05, high=1.0, log=True),
        "kd.kd_weight": Range(low=0.1, high=20.0, log=True),
        "kd.lowest_temperature": Range(low=0.5, high=4.0, log=True),
        "kd.temperature_range": Range(low=1.0, high=40.0, log=True),
    }
