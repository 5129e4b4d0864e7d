"""What may vary in RLD: α, β and both temperatures."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take α 1, β from 0.5 to 8, T of 1 and 4, T_α of 1 and 4.

    With standardised logits they are 9 times as much, and both temperatures 2.
    """
    return {
        "kd.alpha": Range(low=0.1, high=20.0, log=True),
        "kd.beta": Range(low=0.1, high=150.0, log=True),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
        "kd.alpha_temperature": Range(low=1.0, high=10.0, log=True),
    }
