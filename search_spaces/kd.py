"""What may vary in Hinton's distillation: α and T."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """α 0.9 and T 4 are usual; Hinton et al. tried T from 1 to 20."""
    return {
        "kd.alpha": Range(low=0.05, high=0.99),
        "kd.temperature": Range(low=1.0, high=20.0, log=True),
    }
