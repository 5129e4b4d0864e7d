"""What may vary in LSSKD: its three weights, the course of α, and T."""

from search_spaces._domains import Choice, Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """α_T, α's schedule, β, γ and T; the published values of β and γ are lost, so wide."""
    return {
        "kd.alpha": Range(low=0.1, high=0.95),
        "kd.alpha_schedule": Choice(("linear", "constant")),
        "kd.beta": Range(low=0.05, high=10.0, log=True),
        "kd.gamma": Range(low=0.001, high=1.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
