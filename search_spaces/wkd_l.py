"""What may vary in WKD-L: γ, T and κ."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take γ from 25 to 600, T of 2, 6 and 8, κ of 1 and 2."""
    return {
        "kd.gamma": Range(low=5.0, high=1500.0, log=True),
        "kd.temperature": Range(low=1.0, high=16.0, log=True),
        "kd.sharpness": Range(low=0.25, high=4.0, log=True),
    }
