"""What may vary in Hinton's distillation: α, T and m."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """α 0.9 and T 4 are usual; Hinton et al. tried T from 1 to 20.

    The weight of T²·KL_T, α·m, reaches 12 in Sun et al. 2024 (logit standardisation), and 20 is
    found useful.
    """
    return {
        "kd.alpha": Range(low=0.05, high=0.99),
        "kd.temperature": Range(low=1.0, high=20.0, log=True),
        "kd.multiplier": Range(low=0.5, high=25.0, log=True),
    }
