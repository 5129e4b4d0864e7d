"""What may vary in DTSKD: α1 (α2 is 1 − α1), the ends of β's course, λ per branch, and T."""

from search_spaces._domains import Domain, Range, RangeAbove


def domains(stages: int) -> dict[str, Domain]:
    """The paper tries β_max in 0.6–1.0 and β_min in 0–0.5, and has β_min 0.8 on ImageNet."""
    return {
        "kd.alpha": Range(low=0.05, high=0.95),
        "kd.beta_min": Range(low=0.0, high=0.8),
        "kd.beta_max": RangeAbove(low=0.6, high=1.0, other="kd.beta_min"),
        **{f"kd.lambda_b.{b}": Range(low=0.3, high=10.0, log=True) for b in range(stages)},
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
