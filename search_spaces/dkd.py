"""What may vary in DKD: α, β and T."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take α 1, β from 0.5 to 8 and T of 1 and 4.

    With standardised logits Sun et al. 2024 take 9 to 18 times as much of both.
    """
    return {
        "kd.alpha": Range(low=0.1, high=20.0, log=True),
        "kd.beta": Range(low=0.1, high=150.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
