"""What may vary in RKD: the weights of distances and of angles, and KD beside them."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The paper takes 25 and 50."""
    return {
        "kd.distance_weight": Range(low=1.0, high=250.0, log=True),
        "kd.angle_weight": Range(low=1.0, high=500.0, log=True),
        "kd.kd_weight": Range(low=0.0, high=2.0),
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
