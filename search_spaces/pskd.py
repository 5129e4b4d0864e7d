"""What may vary in PS-KD: α_T, the weight that the student's own past has at the end."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The paper's α_T is 0.8."""
    return {"kd.alpha": Range(low=0.1, high=0.95)}
